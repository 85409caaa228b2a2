// Tests the effect of a panic. The lints keep panics out of the Worker; a build with the feature
// `panics` has one at a request's command. A panic in the hub ends every request, each with an error
// and at once, stops their runs, and the next request gets a new instance.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { buildPanickingWorker } from "../scripts/build.mjs";
import { BUILD } from "../scripts/paths.mjs";
import { environment } from "../scripts/setup.mjs";
import { collect, lines, newKey, post, says, sdk, startFront, until } from "./support/front.mjs";
import { keyWith } from "./support/keys.mjs";

const MARK = "CLAWFRONT-PANIC-ON-DEMAND:";
/**
 * Directive for an answer that holds the mark, with so much of it to follow that the run is not
 * over when the Worker sees the mark.
 */
const markedAnswer = (following) =>
  `[[fake delay=20 text=${Buffer.from(`Some text. ${MARK}frame${" and more".repeat(following)}`).toString("base64url")}]]`;
/**
 * Far below the heartbeat's 15 s, after which the runtime itself would notice a stream without an
 * end.
 */
const AT_ONCE_MS = 5_000;

let build;
before(async () => (build = await buildPanickingWorker(environment())));

test("the Worker that is deployed has no panic on demand", () => {
  const holds = (folder) => readFileSync(join(folder, "index_bg.wasm")).includes(MARK);
  assert.deepEqual([holds(BUILD), holds(build)], [false, true]);
});

for (const protocol of [4, 3]) {
  describe(`a panic, protocol ${protocol}`, () => {
    let front;
    before(async () => {
      const finisher = newKey("finisher", "main", "--on-disconnect", "finish");
      const beating = keyWith("beating", "main", "keep_alive=1");
      front = await startFront({ protocol, build, entries: [finisher.entry, beating.entry] });
      Object.assign(front, { finisher, beating });
    });
    after(() => front.stop());
    beforeEach(() => front.sim.reset());

    const runs = async () => (await front.sim.journal()).runs;

    /**
     * Begins requests that have nothing to do with the panic, through an edge in another isolate
     * than the hub's. Resolves once their streams have heads; `ends` is how a client sees them end.
     */
    async function bystanders() {
      const begun = (await runs()).length;
      const ask = (key, content, stream) => post(front.worker.edge, key, says(content, { stream }));
      const streams = [
        ask(front.phone, "hi [[fake deltas=500 delay=40]]", true),
        ask(front.phone, "hi [[fake stall=1]]", true),
        ask(front.finisher, "hi [[fake deltas=1000 delay=40]]", true),
      ];
      const whole = ask(front.boss, "hi [[fake deltas=500 delay=40]]", false);
      for (const response of await Promise.all(streams)) assert.equal(response.status, 200);
      await until("the runs have begun", async () => (await runs()).length === begun + 4);
      return { ends: Promise.all([...streams, whole].map(ending)) };
    }

    /** Returns how a response ended: a stream by its last events, an object by its error. */
    async function ending(answer) {
      const response = await answer;
      const text = await response.text();
      if (!response.headers.get("content-type").startsWith("text/event-stream"))
        return [response.status, JSON.parse(text).error?.code];
      assert.doesNotMatch(text, /"finish_reason":"/);
      const events = text.split("\n\n").filter((event) => event.startsWith("data: {"));
      // Every byte of it is ours: the events that are complete can be read.
      const codes = events.map((event) => JSON.parse(event.slice("data: ".length)).error?.code);
      return ["stream", codes.at(-1), text.endsWith("\n\ndata: [DONE]\n\n")];
    }

    const LOST_STREAM = ["stream", "hub_lost", true];
    const LOST = [400, "hub_lost"];

    /**
     * Checks that everything has ended at once, no client received a complete answer, nothing is
     * left open, and the next request is served.
     */
    async function afterThePanic(ends, started) {
      const expired = new Promise((resolve) => setTimeout(resolve, AT_ONCE_MS, "still open"));
      const seen = await Promise.race([ends, expired]);
      assert.deepEqual(seen, [LOST_STREAM, LOST_STREAM, LOST_STREAM, LOST]);
      await until(
        "no socket is left",
        async () => (await front.sim.journal()).open_connections === 0,
        AT_ONCE_MS,
      );
      // The simulator notes the end of a run after its request.
      await until(
        "the runs' ends are noted",
        async () =>
          protocol === 3 || (await runs()).filter(({ ended }) => ended === "running").length <= 1,
        AT_ONCE_MS,
      );
      const ended = (await runs()).map(({ ended }) => ended);
      assert.equal(ended.length, started);
      // On protocol 3 nothing stops a run, and a key may want its runs to go on.
      if (protocol === 4)
        assert.deepEqual(ended.sort(), [...Array(started - 1).fill("aborted"), "running"]);
      const cut = lines(front.worker).filter(({ cause }) => cause === "panic");
      assert.equal(new Set(cut.map(({ request_id }) => request_id)).size, cut.length);
      for (const edge of [front.worker, front.worker.edge, front.worker]) {
        const next = await collect(
          await sdk(edge, front.phone).chat.completions.create(
            says("hi [[fake deltas=3]]", { stream: true }),
          ),
        );
        assert.deepEqual([next.text, next.finish], ["w0 w1 w2", ["stop"]]);
      }
      assert.equal((await runs()).length, started + 3);
      await until(
        "no socket is left but the shared one",
        async () => (await front.sim.journal()).open_connections === 1,
        AT_ONCE_MS,
      );
    }

    test("at a stream's frame: the stream ends in an error, and nothing says that it is complete", async () => {
      const { ends } = await bystanders();
      const marked = says(`hi ${markedAnswer(protocol === 4 ? 500 : 5)}`, { stream: true });
      const response = await post(front.worker.edge, front.phone, marked);
      assert.deepEqual(await ending(response), LOST_STREAM);
      // Protocol 3 sends every run's events to every connection: the next run would receive the
      // mark as well.
      await until("the run is over", async () => (await runs())[4].ended !== "running");
      await afterThePanic(ends, 5);
    });

    test("in a request's handler: an error, and no run was started for it", async () => {
      const { ends } = await bystanders();
      const body = says(`hi ${MARK}body`, { stream: true });
      const response = await post(front.worker.edge, front.phone, body);
      assert.deepEqual(await ending(response), LOST);
      await afterThePanic(ends, 4);
    });

    test("of an edge in the hub's isolate, whose instance is the hub's: the same", async () => {
      const { ends } = await bystanders();
      const response = await fetch(`${front.worker.url}/${MARK}path`);
      assert.deepEqual([response.status, await response.text()], [500, "Internal Server Error"]);
      await afterThePanic(ends, 4);
    });

    test("of an edge in another isolate: nothing but its request", async () => {
      const begun = (await runs()).length;
      const stream = await sdk(front.worker.edge, front.phone).chat.completions.create(
        says("hi [[fake deltas=40 delay=40]]", { stream: true }),
      );
      const panicked = await fetch(`${front.worker.edge.url}/${MARK}path`);
      assert.deepEqual([panicked.status, await panicked.text()], [500, "Internal Server Error"]);
      assert.deepEqual((await collect(stream)).finish, ["stop"]);
      assert.equal((await runs()).length, begun + 1);
    });

    test("a whole answer that has begun ends in an error object", async () => {
      const content = "hi [[fake deltas=500 delay=40]]";
      const whole = await post(front.worker.edge, front.beating, says(content));
      assert.equal(whole.status, 200);
      assert.equal((await fetch(`${front.worker.url}/${MARK}path`)).status, 500);
      const text = await whole.text();
      assert.match(text, /^\n+\{/);
      assert.equal(JSON.parse(text).error.code, "hub_lost");
    });

    test("again and again: each leaves a Worker that works", async () => {
      for (let turn = 1; turn <= 5; turn += 1) {
        assert.equal((await fetch(`${front.worker.url}/${MARK}path`)).status, 500);
        const next = await post(front.worker, front.phone, says("hi [[fake deltas=3]]"));
        assert.equal((await next.json()).choices[0].message.content, "w0 w1 w2");
        assert.equal((await runs()).length, turn);
      }
    });
  });
}

test("a panic stops the runs at the gateway's HTTP endpoint", async () => {
  const keys = [[], ["--on-disconnect", "finish"]].map((more, index) =>
    newKey(`tools-${index}`, "main", "--tools", "run", ...more),
  );
  const front = await startFront({
    ...{ build, entries: keys.map(({ entry }) => entry) },
    simArgs: ["--chat-completions", "trusted-proxy"],
    vars: { GATEWAY_HTTP: "trusted-proxy" },
  });
  try {
    const asked = async () => (await front.sim.journal()).completions;
    const tools = [{ type: "function", function: { name: "f" } }];
    const fields = { model: "openclaw/main", tools, stream: true };
    const content = "hi [[fake deltas=500 delay=40]]";
    const streams = keys.map((key) => post(front.worker.edge, key, says(content, fields)));
    await until("the runs have begun", async () => (await asked()).length === 2);
    assert.equal((await fetch(`${front.worker.url}/${MARK}path`)).status, 500);
    for (const stream of streams) assert.match(await (await stream).text(), /"code":"hub_lost"/);
    const areOver = async () => (await asked()).every(({ ended }) => ended === "aborted");
    await until("the runs are stopped", areOver, AT_ONCE_MS);
    assert.equal((await asked()).length, 2);
  } finally {
    await front.stop();
  }
});
