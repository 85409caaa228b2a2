// Tests a real OpenClaw gateway whose hub is killed in the middle of runs and started again over
// the same storage: nothing runs twice, each run counts once, and none goes on without its client.
// Also many runs at a time, which share the hub's connection.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { temporaryFolder } from "../support/folder.mjs";
import { eventsOf, newKey, post, says, textOf, until } from "../support/front.mjs";
import { get } from "../support/keys.mjs";
import { protocol, version } from "../support/openclaw.mjs";
import { steps, words } from "../support/prompts.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";
import { letPass, rowsOf } from "../support/storage.mjs";

/** Words in an answer: the runs are under way for some seconds after the kill. */
const WORDS = 60;

/** Words that the model has sent when the hub is killed. */
const BEGUN = 5;

/** A run without its client is stopped after 30 s. */
const RETURN_MS = 31_000;

const keyed = (number) => ({ "idempotency-key": `order-${number}` });
const attempt = (number) => ({ "x-stainless-retry-count": String(number) });

/** The clients: each sends its request again, in its own way. */
const CALLS = [
  { id: "streamed", stream: true, first: keyed(1), again: { ...keyed(1), ...attempt(1) } },
  { id: "whole", stream: false, first: keyed(2), again: { ...keyed(2), ...attempt(1) } },
  { id: "unnamed", stream: true, first: attempt(0), again: attempt(1) },
].map((call) => ({ ...newKey(call.id, "main"), ...call }));

/** A client whose agent uses a tool. */
const worker = newKey("worker", "main");

/** Runs at a time. */
const CROWD = 50;

/** The run with as many words as they have on average. */
const ALONE = `alone [[fake deltas=${CROWD / 2} delay=5]]`;

/** The client of them all. */
const crowd = newKey("crowd", "main", "--runs", String(CROWD));

/** The client that does not. */
const left = { ...newKey("left", "main"), stream: true, first: {} };

/** Returns the text of an answer, and what ended it. */
async function read(response) {
  const body = await response.text();
  assert.equal(response.status, 200, body);
  if (!response.headers.get("content-type").startsWith("text/event-stream")) {
    const [{ message, finish_reason }] = JSON.parse(body).choices;
    return { text: message.content, end: finish_reason };
  }
  const events = eventsOf(body);
  return { text: textOf(events), end: events.at(-1).choices[0].finish_reason };
}

describe(`a hub that is killed, OpenClaw ${version}`, () => {
  const storage = temporaryFolder("hub");
  let front, calls;
  /** The calls of the model since the tests of this file began. */
  const modelCalls = () => front.provider.requests.slice(calls);
  const ask = (call, headers, prompt = `${call.id} [[fake deltas=${WORDS} delay=100]]`) =>
    post(front.worker, call, says(prompt, { stream: call.stream }), { headers });
  const status = async (call) => (await get(front.worker, call, "/v1/key")).json();

  before(async () => {
    front = await sharedFront({
      entries: [...CALLS, left, worker, crowd].map(({ entry }) => entry),
      storage,
    });
    calls = front.provider.requests.length;
  });
  after(() => front?.stop());

  test("in the middle of a run: a retry gets the whole answer of the run, which counts once", async () => {
    const firsts = [...CALLS, left].map((call) =>
      ask(call, call.first)
        .then((response) => response.text())
        .catch(() => "cut"),
    );
    await until("the model is in the middle of each answer", () => {
      const begun = modelCalls().filter(({ deltas }) => deltas > BEGUN);
      return begun.length === firsts.length;
    });
    assert.ok(modelCalls().every(({ finished }) => !finished));
    await front.killWorker();
    for (const first of firsts) assert.doesNotMatch(await first, /"finish_reason":"/);
    await front.startWorker();

    const other = await ask(CALLS[0], CALLS[0].first, "another body [[fake deltas=1]]");
    assert.equal(other.status, 409);
    assert.match(await other.text(), /idempotency_key_reused/);
    const answers = await Promise.all(CALLS.map(async (call) => read(await ask(call, call.again))));
    assert.deepEqual(
      answers,
      CALLS.map(() => ({ text: words(WORDS), end: "stop" })),
    );
    assert.equal(modelCalls().length, firsts.length, "the model was called once for each");
    for (const call of CALLS) {
      // The run that the hub adopted ends beside that of the retry.
      const { usage_today } = await until("it is counted, and its place is free", async () => {
        const now = await status(call);
        return now.usage_today.runs > 0 && now.concurrent_runs.running === 0 && now;
      });
      const { runs, answers, output_tokens } = usage_today;
      assert.deepEqual(
        { runs, answers, output_tokens },
        { runs: 1, answers: 1, output_tokens: WORDS },
      );
    }
  });

  test("and whose client does not come back: the run is stopped on protocol 4, and counts once", async () => {
    const long = front.provider.requests.length;
    const first = ask(left, left.first, "long [[fake deltas=400 delay=100]]")
      .then((response) => response.text())
      .catch(() => "cut");
    const run = await until("the model answers", () => {
      const call = front.provider.requests[long];
      return call?.deltas > BEGUN && call;
    });
    await front.killWorker();
    await first;
    // It is found, and the time for its client's return passes.
    await front.startWorker();
    assert.equal((await status(left)).concurrent_runs.running, 1);
    await until("the time of that is stored", () =>
      Object.values(rowsOf(storage, "run:")).some((row) => /^0\t(?:\d+\t){3}\d{13}\t/.test(row)),
    );
    await front.killWorker();
    letPass(storage, RETURN_MS);
    await front.startWorker();
    if (protocol === 4) await until("the run is stopped", () => run.aborted);
    else front.provider.finish();
    const { usage_today } = await until("both are counted", async () => {
      const now = await status(left);
      return now.concurrent_runs.running === 0 && now;
    });
    const { runs, answers, stopped } = usage_today;
    // The run of the test before went on to its end.
    assert.deepEqual(
      { runs, answers, stopped },
      protocol === 4 ? { runs: 2, answers: 1, stopped: 1 } : { runs: 2, answers: 2, stopped: 0 },
    );
    assert.equal(front.provider.requests.length, long + 1);
  });

  test("while the agent works: a retry after the end gets the text before the tool, too", async () => {
    const before = front.provider.requests.length;
    const tools = [{ name: "exec", args: { command: "true" } }];
    const prompt = steps({ text: "Let me look.", tools }, { text: "It is sunny.", delay: 50 });
    const request = says(prompt, { stream: true });
    const first = post(front.worker, worker, request, { headers: attempt(0) })
      .then((response) => response.text())
      .catch(() => "cut");
    await until("the model has the tool's result", () => {
      const calls = front.provider.requests.slice(before);
      return calls.length === 2 && calls[1].deltas > 0;
    });
    await front.killWorker();
    assert.doesNotMatch(await first, /"finish_reason":"/);
    await until("the run is over", () => front.provider.requests[before + 1].finished);
    await front.startWorker();
    const again = await post(front.worker, worker, request, { headers: attempt(1) });
    if (protocol === 4)
      assert.deepEqual(await read(again), { text: "Let me look.\n\nIt is sunny.", end: "stop" });
    // Protocol 3 does not say which of several texts are of a failed attempt.
    else assert.match(await again.text(), /answer_lost/);
    assert.equal(front.provider.requests.length - before, 2);
  });

  test(`${CROWD} runs at a time: each client gets its own answer, whole, and each run counts once`, async () => {
    const { tunnel } = front;
    let framesBefore = tunnel.framesReceived;
    assert.equal((await read(await ask(worker, {}, ALONE))).text, words(CROWD / 2));
    const framesOfOne = tunnel.framesReceived - framesBefore;
    framesBefore = tunnel.framesReceived;
    const before = front.provider.requests.length;
    const answers = await Promise.all(
      Array.from({ length: CROWD }, async (_, index) => {
        const [own, isStreamed] = [index + 1, index % 2 === 0];
        const prompt = `crowd [[fake deltas=${own} delay=5]]`;
        return read(await post(front.worker, crowd, says(prompt, { stream: isStreamed })));
      }),
    );
    assert.deepEqual(
      answers,
      Array.from({ length: CROWD }, (_, index) => ({ text: words(index + 1), end: "stop" })),
    );
    assert.equal(front.provider.requests.length - before, CROWD);
    // Each is sent its own events, once: with all of them to everyone it were 50 times as many.
    const frames = tunnel.framesReceived - framesBefore;
    assert.ok(frames < 2 * CROWD * framesOfOne, `${frames} frames, ${framesOfOne} of one run`);
    const { usage_today, concurrent_runs } = await status(crowd);
    const { runs, answers: answered, output_tokens } = usage_today;
    assert.deepEqual(
      { runs, answered, output_tokens, running: concurrent_runs.running },
      { runs: CROWD, answered: CROWD, output_tokens: (CROWD * (CROWD + 1)) / 2, running: 0 },
    );
  });
});
