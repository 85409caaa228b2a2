// Tests the stored usage of a key against the gateway's own counts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryFolder } from "./support/folder.mjs";
import { lines, newKey, post, says, startFront, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";

const usage = async (worker, key) => (await (await get(worker, key, "/v1/key")).json()).usage_today;

/** Sums the usage objects of answers. */
const sum = (usages) => ({
  input_tokens: usages.reduce((all, { prompt_tokens }) => all + prompt_tokens, 0),
  output_tokens: usages.reduce((all, { completion_tokens }) => all + completion_tokens, 0),
  cached_tokens: usages.reduce(
    (all, { prompt_tokens_details }) => all + prompt_tokens_details.cached_tokens,
    0,
  ),
});

for (const protocol of [4, 3])
  test(`usage is what the gateway counts, over cuts, repeats and a kill, protocol ${protocol}`, async () => {
    const front = await startFront({ protocol, storage: temporaryFolder("hub") });
    let again;
    try {
      const { worker, phone, boss, sim } = front;
      const ask = async (key, content, headers = {}) => {
        const response = await post(worker, key, says(content), { headers });
        const body = await response.json();
        return body.usage ?? body.error.code;
      };
      const usages = [
        await ask(phone, "hi [[fake deltas=3]]"),
        await ask(phone, "hi [[fake tool=1 deltas=3]]"),
        // The connection is cut, and the run found again.
        await ask(phone, "hi [[fake deltas=8 drop=3]]"),
      ];
      // Two requests share a run: it counts once.
      const shared = "hi [[fake deltas=20 delay=20]]";
      const first = ask(phone, shared, { "x-stainless-retry-count": "0" });
      await until("it has begun", async () => (await sim.journal()).runs.length === 4);
      const second = await ask(phone, shared, { "x-stainless-retry-count": "1" });
      assert.deepEqual(await first, second);
      usages.push(second);
      // An answer that is asked for again is no other run.
      const named = { "idempotency-key": "order" };
      usages.push(await ask(phone, "named [[fake deltas=2]]", named));
      await ask(phone, "named [[fake deltas=2]]", named);
      // Failures, and another key.
      for (const status of [400, 500])
        assert.match(await ask(phone, `hi [[fake error=${status}]]`), /^(provider_|run_failed)/);
      const others = await ask(boss, "hi [[fake deltas=1]]");
      const expected = sum(usages);
      const seen = await until("all has ended", async () => {
        const seen = await usage(worker, phone);
        return seen.runs === usages.length + 2 && seen;
      });
      const { run_ms, ...counts } = seen;
      assert.ok(run_ms > 0);
      assert.deepEqual(counts, {
        requests: 9,
        runs: usages.length + 2,
        answers: usages.length,
        stopped: 0,
        provider_failures: 2,
        other_failures: 0,
        ...expected,
      });
      const { runs } = await sim.journal();
      assert.equal(runs.length, usages.length + 3);
      // The hub is gone without notice, at once.
      process.kill(worker.pid, "SIGKILL");
      again = await front.another();
      assert.deepEqual(await usage(again, phone), seen);
      const { input_tokens } = await usage(again, boss);
      assert.equal(input_tokens, others.prompt_tokens);
      await (await post(again, phone, says("hi [[fake deltas=1]]"))).json();
      await until("it is added", async () => (await usage(again, phone)).runs === seen.runs + 1);
    } finally {
      await again?.stop();
      await front.stop();
    }
  });

for (const protocol of [4, 3])
  test(`a run whose client left keeps its place until its end, and counts then, protocol ${protocol}`, async () => {
    const finisher = newKey("finisher", "main", "--on-disconnect", "finish");
    const front = await startFront({ protocol, entries: [finisher.entry] });
    try {
      const { worker, sim } = front;
      const status = async () => (await get(worker, finisher, "/v1/key")).json();
      const controller = new AbortController();
      const { signal } = controller;
      const body = says("long [[fake deltas=100 delay=20]]", { stream: true });
      const going = await post(worker, finisher, body, { signal });
      await going.body.getReader().read();
      controller.abort();
      await until("the client's leaving is noticed", () =>
        lines(worker).some(({ end }) => end === "client_closed_request"),
      );
      const before = await status();
      assert.deepEqual([before.concurrent_runs.running, before.usage_today.runs], [1, 0]);
      const { usage_today } = await until("it has ended", async () => {
        const now = await status();
        return now.concurrent_runs.running === 0 && now;
      });
      const { answers, input_tokens, output_tokens } = usage_today;
      assert.deepEqual([answers, input_tokens, output_tokens > 0], [1, 1001, true]);
      assert.equal((await sim.journal()).runs[0].ended, "ok");
      assert.equal(lines(worker).filter(({ run }) => run).length, 1);
    } finally {
      await front.stop();
    }
  });
