// Tests the queue of runs beyond GATEWAY_RUNS: its order, what clients see, and who leaves it.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { newKey, post, says, startFront, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";

/** A run that takes two seconds. */
const LONG = "long [[fake deltas=100 delay=20]]";
const SHORT = "short [[fake deltas=1]]";

describe("a gateway that gets two runs at a time", () => {
  const many = newKey("many", "main");
  let front;
  before(async () => {
    front = await startFront({
      vars: { GATEWAY_RUNS: "2" },
      entries: [many.entry],
    });
  });
  after(() => front.stop());
  beforeEach(() => front.sim.reset());

  const runs = async () => (await front.sim.journal()).runs;
  const running = async (key) =>
    (await (await get(front.worker, key, "/v1/key")).json()).concurrent_runs.running;
  const ask = (key, content, fields = {}, init = {}) =>
    post(front.worker, key, says(content, fields), init);
  const text = async (answer) => (await (await answer).json()).choices[0].message.content;

  test("no more than two are under way, and another key's first run is next", async () => {
    const order = [];
    const first = Array.from({ length: 6 }, async (_, index) => {
      await text(ask(many, LONG));
      order.push(index);
    });
    await until("all wait", async () => (await running(many)) === 6);
    const other = text(ask(front.phone, SHORT)).then(() => order.push("other"));
    let most = 0;
    const watch = setInterval(async () => {
      const going = (await runs()).filter(({ ended }) => ended === "running").length;
      most = Math.max(most, going);
    }, 50);
    await Promise.all([...first, other]);
    clearInterval(watch);
    assert.equal(most, 2);
    assert.ok(order.indexOf("other") <= 2, order.join());
    assert.equal((await runs()).length, 7);
  });

  test("a stream shows the wait, and events on responses", async () => {
    const hold = Array.from({ length: 2 }, () => ask(many, "hold [[fake deltas=350 delay=20]]"));
    await until("both run", async () => (await runs()).length === 2);
    const stream = ask(front.phone, SHORT, { stream: true });
    const response = await fetch(`${front.worker.url}/v1/responses`, {
      method: "POST",
      headers: { authorization: `Bearer ${front.phone.key}` },
      body: JSON.stringify({ model: "openclaw", input: SHORT, stream: true }),
    });
    const chat = await (await stream).text();
    assert.match(chat, /: waiting for other runs to end\n[\s\S]*"finish_reason":"stop"/);
    const events = await response.text();
    assert.match(
      events,
      /event: response\.created[\s\S]*event: response\.in_progress[\s\S]*event: response\.completed/,
    );
    await Promise.all(hold);
  });

  test("a client that leaves the queue starts nothing", async () => {
    const hold = Array.from({ length: 2 }, () => ask(many, "hold [[fake deltas=350 delay=20]]"));
    await until("both run", async () => (await runs()).length === 2);
    const controller = new AbortController();
    const { signal } = controller;
    const left = ask(front.phone, "left [[fake deltas=1]]", { stream: true }, { signal });
    await left.then(({ status }) => assert.equal(status, 200));
    controller.abort();
    const last = text(ask(front.boss, SHORT));
    await Promise.all([...hold, last]);
    await until("it is gone", async () => (await running(front.phone)) === 0);
    assert.equal((await runs()).length, 3);
  });
});
