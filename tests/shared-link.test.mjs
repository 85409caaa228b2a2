// One connection to the gateway for all runs: what they share, and what they do not.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { collect, says, sdk, startFront, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { words } from "./support/prompts.mjs";

const IDLE_S = 2;

for (const protocol of [4, 3]) {
  describe(`one connection, protocol ${protocol}`, () => {
    let front, client;
    before(async () => {
      front = await startFront({ protocol });
      client = sdk(front.worker, front.phone);
    });
    after(() => front.stop());
    beforeEach(() => front.sim.reset());

    const streamed = async (content, options) =>
      collect(await client.chat.completions.create(says(content, { stream: true }), options));
    const methods = async () => (await front.sim.journal()).frames.map(({ method }) => method);
    const subscribe = protocol === 4 ? ["sessions.messages.subscribe"] : [];
    const unsubscribe = protocol === 4 ? ["sessions.messages.unsubscribe"] : [];

    test("the second run has no handshake, and each session is unsubscribed", async () => {
      await streamed("hi [[fake deltas=2]]");
      await until("the first is over", async () =>
        (await methods()).slice(-1).every((method) => method === (unsubscribe[0] ?? "agent")),
      );
      await front.sim.reset();
      assert.equal((await streamed("hi [[fake deltas=5]]")).text, words(5));
      const expected = [...subscribe, "agent", ...unsubscribe];
      await until("all has been said", async () => (await methods()).length >= expected.length);
      assert.deepEqual(await methods(), expected);
      assert.equal((await front.sim.journal()).connections, 0);
    });

    test("runs and a question for the agents go over it at the same time", async () => {
      const counts = Array.from({ length: 24 }, (_, index) => 5 + index);
      const answers = counts.map((deltas) =>
        streamed(`hi [[fake deltas=${deltas} delay=5${deltas % 2 ? " tool=1" : ""}]]`),
      );
      const models = await (await get(front.worker, front.phone, "/v1/models")).json();
      assert.deepEqual(models.data.map(({ id }) => id).sort(), ["openclaw", "openclaw/beta"]);
      for (const [index, { text, finish }] of (await Promise.all(answers)).entries()) {
        const begin = counts[index] % 2 ? "Let me check.\n\n" : "";
        assert.deepEqual([text, finish], [begin + words(counts[index]), ["stop"]]);
      }
      const { connections, open_connections, runs } = await front.sim.journal();
      assert.ok(connections <= 1, `${connections} connections`);
      assert.deepEqual([open_connections, runs.length], [1, counts.length]);
    });

    test("the client that opened it may leave at any time", async () => {
      await front.sim.drop();
      await until("there is none", async () => (await front.sim.journal()).open_connections === 0);
      const controller = new AbortController();
      const first = streamed("hi [[fake deltas=200 delay=20]]", { signal: controller.signal });
      const second = streamed("hi [[fake deltas=20 delay=20]]");
      first.catch(() => {});
      for (const leave of [() => controller.abort(), () => {}]) {
        leave();
        assert.equal((await streamed("hi [[fake deltas=3]]")).text, words(3));
      }
      assert.equal((await second).text, words(20));
      assert.equal((await front.sim.journal()).connections, 1);
    });

    test("when it is lost, all runs are found again over one other connection", async () => {
      const counts = [30, 40, 50];
      const answers = counts.map((deltas) => streamed(`hi [[fake deltas=${deltas} delay=40]]`));
      await until("they run", async () => (await front.sim.journal()).runs.length === 3);
      await front.sim.drop(1012);
      const texts = (await Promise.all(answers)).map(({ text }) => text);
      assert.deepEqual(texts, counts.map(words));
      const { runs, frames } = await front.sim.journal();
      assert.equal(runs.length, 3);
      assert.ok(frames.filter(({ method }) => method === "connect").length <= 2);
    });
  });
}

test("a connection that nothing uses is closed after its time, and the next run makes another", async () => {
  const front = await startFront({ vars: { LINK_IDLE: String(IDLE_S) } });
  try {
    const client = sdk(front.worker, front.phone);
    const open = async () => (await front.sim.journal()).open_connections;
    for (let count = 1; count <= 2; count += 1) {
      const long = client.chat.completions.create(says("hi [[fake deltas=60 delay=50]]"));
      await client.chat.completions.create(says("hi [[fake deltas=1]]"));
      // The long run uses it for longer than that.
      assert.equal((await long).choices[0].message.content, words(60));
      assert.equal(await open(), 1);
      await until("it is closed", async () => (await open()) === 0, 2 * IDLE_S * 1000);
      assert.equal((await front.sim.journal()).connections, count);
    }
  } finally {
    await front.stop();
  }
});
