// Tests the limits of a key: requests per minute, and concurrent runs.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { EACH_CONNECTS, newKey, post, says, sdk, until } from "../support/front.mjs";
import { frontWith, get, keyWith, refused } from "../support/keys.mjs";

describe("requests per minute", () => {
  const slow = keyWith("slow", "main", "rpm=2");
  const other = keyWith("other", "main", "rpm=2");
  const free = newKey("free", "main");

  test("a key's requests are counted, reported in OpenAI's headers, and refused when they are used up", async () => {
    const front = await frontWith([slow, other, free]);
    try {
      const ask = (key) => post(front.worker, key, says("hi [[fake deltas=1]]"));
      for (const remaining of ["1", "0"]) {
        const { status, headers } = await ask(slow);
        assert.deepEqual(
          [
            status,
            headers.get("x-ratelimit-limit-requests"),
            headers.get("x-ratelimit-remaining-requests"),
          ],
          [200, "2", remaining],
        );
        assert.match(headers.get("x-ratelimit-reset-requests"), /^\d+s$/);
      }
      await front.sim.reset();
      const { status, code, headers } = await refused(await ask(slow));
      assert.deepEqual(
        [status, code, headers.get("x-ratelimit-remaining-requests")],
        [429, "rate_limit_exceeded", "0"],
      );
      assert.ok(Number(headers.get("retry-after")) > 0 && Number(headers.get("retry-after")) <= 60);
      await assert.rejects(
        sdk(front.worker, slow).chat.completions.create(says("hi")),
        (error) => error instanceof OpenAI.RateLimitError,
      );
      assert.equal((await front.sim.journal()).connections, 0);
      assert.equal((await ask(other)).status, 200);
      const unlimited = await ask(free);
      assert.deepEqual(
        [unlimited.status, unlimited.headers.get("x-ratelimit-limit-requests")],
        [200, null],
      );
    } finally {
      await front.stop();
    }
  });
});

describe("concurrent runs", () => {
  const one = keyWith("one", "main", "runs=1");
  let front;
  before(async () => (front = await frontWith([one], { vars: EACH_CONNECTS })));
  after(() => front.stop());

  const running = async () =>
    (await (await get(front.worker, one, "/v1/key")).json()).concurrent_runs.running;

  test("a key can have its maximum of runs, and the next is refused before the gateway receives it", async () => {
    const controller = new AbortController();
    const response = await post(
      front.worker,
      one,
      says("hi [[fake deltas=400 delay=20]]", { stream: true }),
      { signal: controller.signal },
    );
    assert.equal(response.status, 200);
    assert.equal(await running(), 1);
    const before = (await front.sim.journal()).connections;
    const { status, code, headers } = await refused(
      await post(front.worker, one, says("hi [[fake deltas=1]]")),
    );
    assert.deepEqual(
      [status, code, headers.get("retry-after")],
      [429, "concurrent_runs_exceeded", "5"],
    );
    assert.equal((await front.sim.journal()).connections, before);
    controller.abort();
    await until("the run that was left makes room", async () => (await running()) === 0);
  });

  const ENDINGS = [
    ["an answer", says("hi [[fake deltas=2]]")],
    ["a streamed answer", says("hi [[fake deltas=2]]", { stream: true })],
    ["a provider's failure", says("hi [[fake error=400]]")],
    ["a failure in the stream", says("hi [[fake deltas=6 streamerror=3]]", { stream: true })],
    ["a run that takes too long", says("hi [[fake timeoutrun=1]]")],
    ["a gateway that will not start it", says("hi [[fake draining=1]]")],
    ["an agent that is not there", says("hi", { model: "main" }), "not-found-404"],
    ["a gateway that is none", says("hi"), "html-200"],
    ["a gateway that closes", says("hi"), "close-before-challenge"],
    ["a command that is refused", says("/reset")],
    ["a body that is none", "{"],
    ["a gateway that goes away in the middle", says("hi [[fake deltas=6 close=1012 after=3]]")],
  ];
  for (const [name, body, fault] of ENDINGS) {
    test(`${name} makes room for another run`, async () => {
      for (let count = 0; count < 2; count += 1) {
        if (fault) await front.sim.fault(fault);
        const response = await post(front.worker, one, body);
        assert.notEqual(response.status, 429, await response.clone().text());
        await response.text();
        await until("there is room", async () => (await running()) === 0);
      }
    });
  }
});

test("a run whose client left finishes where the key says so", async () => {
  const job = keyWith("job", "main", "on_disconnect=finish runs=1");
  const front = await frontWith([job], { vars: EACH_CONNECTS });
  try {
    await front.sim.reset();
    const controller = new AbortController();
    const response = await post(
      front.worker,
      job,
      says("hi [[fake deltas=40 delay=20]]", { stream: true }),
      { signal: controller.signal },
    );
    await response.body.getReader().read();
    controller.abort();
    await until(
      "the socket is closed",
      async () => (await front.sim.journal()).open_connections === 0,
    );
    const run = await until("the run is over", async () => {
      const [run] = (await front.sim.journal()).runs;
      return run.ended !== "running" && run;
    });
    assert.deepEqual([run.ended, run.abortedBy], ["ok", null]);
    assert.equal(
      (await post(front.worker, job, says("hi [[fake deltas=1]]"))).status,
      200,
      "its place is free again",
    );
  } finally {
    await front.stop();
  }
});
