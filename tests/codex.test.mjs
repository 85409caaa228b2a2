// Codex asks again by itself when its stream breaks: five times, with the same ids and another
// order of members. Its requests are sent here as it sent them (`tests/recorded/codex.json`: codex
// 0.171.0, its ids and long texts replaced). `npm run clients -- codex` runs Codex itself.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { EACH_CONNECTS, eventsOf, startFront, until } from "./support/front.mjs";

const [FIRST, REPEATED, NEXT, NEXT_TURN] = JSON.parse(
  readFileSync(new URL("recorded/codex.json", import.meta.url), "utf8"),
);
const DIRECTIVE = "[[fake deltas=3]]";
/** Codex gives a stream up after 300 s without an event; the Worker sends one after this time. */
const BEAT_MS = 15_000;

for (const protocol of [4, 3]) {
  describe(`Codex, protocol ${protocol}`, { concurrency: false }, () => {
    let front;
    before(async () => (front = await startFront({ protocol, vars: EACH_CONNECTS })));
    after(() => front.stop());

    /** Sends a recorded request; `directive` takes the place of its own. */
    const send = (
      recorded,
      {
        directive = DIRECTIVE,
        key = front.phone.key,
        headers = {},
        worker = front.worker,
        signal,
      } = {},
    ) =>
      fetch(`${worker.url}/v1/responses`, {
        method: "POST",
        headers: { ...recorded.headers, authorization: `Bearer ${key}`, ...headers },
        body: recorded.body.replaceAll(DIRECTIVE, directive),
        signal,
      });
    const runs = async () => (await front.sim.journal()).runs;

    /** The text of a response, or the code of its failure. */
    async function heard(response) {
      if (response.status !== 200) return (await response.json()).error.code;
      const last = eventsOf(await response.text()).at(-1);
      return last.type === "response.completed"
        ? last.response.output[0].content[0].text
        : last.type;
    }

    test("a repetition while the run goes on joins it", async () => {
      await front.sim.reset();
      const directive = "[[fake deltas=30 delay=30]]";
      const first = send(FIRST, { directive });
      await until("the run has begun", async () => (await runs()).length === 1);
      const second = await send(REPEATED, { directive });
      assert.equal(await heard(second), await heard(await first));
      assert.equal((await runs()).length, 1);
    });

    test("a repetition after the end gets the recorded end, from another hub, too", async () => {
      await front.sim.reset();
      assert.equal(await heard(await send(FIRST)), "w0 w1 w2");
      assert.equal(await heard(await send(REPEATED)), "w0 w1 w2");
      const other = await front.another();
      try {
        assert.equal(await heard(await send(REPEATED, { worker: other })), "w0 w1 w2");
      } finally {
        await other.stop();
      }
      assert.equal((await runs()).length, 1);
    });

    test("a repetition after its connection was cut starts no other run", async () => {
      await front.sim.reset();
      const directive = "[[fake deltas=60 delay=30]]";
      const controller = new AbortController();
      const first = await send(FIRST, { directive, signal: controller.signal });
      await first.body.getReader().read();
      controller.abort();
      // The Worker may have noticed by now. Then the run is stopped, and the repetition gets that
      // result.
      const end = await heard(await send(REPEATED, { directive }));
      assert.ok(end.startsWith("w0 ") || end === "run_aborted" || end === "response.failed", end);
      assert.equal((await runs()).length, 1);
    });

    test("the turn's next request and the same words in another turn are runs of their own", async () => {
      await front.sim.reset();
      for (const recorded of [FIRST, NEXT, NEXT_TURN])
        assert.equal(await heard(await send(recorded)), "w0 w1 w2");
      const all = await runs();
      assert.equal(all.length, 3);
      assert.equal(new Set(all.map(({ sessionKey }) => sessionKey)).size, 3);
    });

    test("the same request of two callers is two runs in two sessions", async () => {
      await front.sim.reset();
      const callers = [
        {},
        { key: front.boss.key, headers: { "x-openclaw-agent-id": "main" } },
        { headers: { "x-forwarded-user": "anna" } },
        { headers: { "thread-id": "another" } },
      ];
      for (const caller of callers)
        assert.equal(await heard(await send(FIRST, caller)), "w0 w1 w2");
      const all = await runs();
      assert.equal(all.length, callers.length);
      assert.equal(new Set(all.map(({ sessionKey }) => sessionKey)).size, callers.length);
    });

    test("a request that started nothing is made again", async () => {
      await front.sim.reset();
      await front.sim.fault("status-503", null);
      assert.equal((await send(FIRST)).status, 408);
      await front.sim.fault(null);
      assert.equal(await heard(await send(REPEATED)), "w0 w1 w2");
      assert.equal((await runs()).length, 1);
    });

    test("a run that is silent sends events, because comments do not keep Codex waiting", async () => {
      await front.sim.reset();
      const response = await send(FIRST, {
        directive: `[[fake deltas=2 delay=${BEAT_MS + 3_000}]]`,
      });
      const types = (await response.text()).match(/(?<=^event: ).*/gm);
      const first = types.indexOf("response.output_text.delta");
      assert.ok(
        types.slice(first).includes("response.in_progress") ||
          types.filter((type) => type === "response.in_progress").length > 1,
        types.join(),
      );
    });
  });
}
