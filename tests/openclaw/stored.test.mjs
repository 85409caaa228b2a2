// Tests responses in the background against a real OpenClaw gateway: an unmodified SDK leaves, the
// hub and the gateway's connection are lost, and the answer is there.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { temporaryFolder } from "../support/folder.mjs";
import { newKey, sdk, until } from "../support/front.mjs";
import { get } from "../support/keys.mjs";
import { protocol, version } from "../support/openclaw.mjs";
import { words } from "../support/prompts.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";
import { deltasOf, isWhole, outputText, readEvents, responsesOf } from "../support/stored.mjs";

/** Words in an answer: the run is under way for some seconds after its client has left. */
const WORDS = 60;

/** Words that the model has sent when something happens. */
const BEGUN = 5;

const LONG = `hi [[fake deltas=${WORDS} delay=100]]`;

const phone = newKey("stored-phone", "main");

describe(`responses in the background, OpenClaw ${version}`, () => {
  const storage = temporaryFolder("hub");
  let front, calls;
  const modelCalls = () => front.provider.requests.slice(calls);
  const client = () => sdk(front.worker, phone);
  const api = () => responsesOf(front.worker, phone);
  const isUnderWay = (count = 1) =>
    until("the model is in the middle of the answer", () => {
      const begun = modelCalls().filter(({ deltas }) => deltas > BEGUN);
      return begun.length === count;
    });

  before(async () => {
    front = await sharedFront({ entries: [phone.entry], storage });
  });
  after(() => front?.stop());

  test("a client that has left gets its answer from the SDK", async () => {
    calls = front.provider.requests.length;
    const begun = await client().responses.create({
      model: "openclaw",
      input: LONG,
      background: true,
    });
    assert.deepEqual([begun.status, begun.background, begun.output], ["in_progress", true, []]);
    await isUnderWay();
    assert.equal((await client().responses.retrieve(begun.id)).status, "in_progress");
    const ended = await api().ended(begun.id);
    assert.equal(ended.status, "completed");
    const found = await client().responses.retrieve(begun.id);
    assert.equal(found.output_text, words(WORDS));
    assert.equal(found.usage.output_tokens, WORDS);
    const items = await client().responses.inputItems.list(begun.id);
    assert.equal(items.data[0].content[0].text, LONG);
    assert.equal(modelCalls().length, 1);
    await client().responses.delete(begun.id);
    await assert.rejects(client().responses.retrieve(begun.id), { status: 404 });
  });

  test("a stream whose hub is killed goes on after its last event", async () => {
    calls = front.provider.requests.length;
    const { id, events } = await api().beginStream(LONG, ({ sequence }) => sequence > BEGUN * 2);
    await front.killWorker();
    await front.startWorker();
    const rest = await readEvents(await api().replay(id, events.at(-1).sequence));
    const all = [...events, ...rest];
    isWhole(all);
    assert.equal(deltasOf(all), words(WORDS));
    assert.equal(outputText(await api().found(id)), words(WORDS));
    assert.equal(modelCalls().length, 1, "the model was called once");
    const { usage_today } = await (await get(front.worker, phone, "/v1/key")).json();
    assert.deepEqual([usage_today.runs, usage_today.answers], [2, 2]);
  });

  test("a response is cancelled, and its run is stopped if the protocol can", async () => {
    calls = front.provider.requests.length;
    const begun = await client().responses.create({
      model: "openclaw",
      input: "hi [[fake deltas=400 delay=100]]",
      background: true,
    });
    await isUnderWay();
    const cancelled = await client().responses.cancel(begun.id);
    assert.equal(cancelled.status, "cancelled");
    assert.equal((await client().responses.retrieve(begun.id)).status, "cancelled");
    const [run] = modelCalls();
    if (protocol === 4) await until("the run is stopped", () => run.aborted);
    else front.provider.finish();
    await until("its place is free", async () => {
      const { concurrent_runs } = await (await get(front.worker, phone, "/v1/key")).json();
      return concurrent_runs.running === 0;
    });
    assert.equal((await client().responses.retrieve(begun.id)).status, "cancelled");
  });

  test("a failure of the provider is the response's", async () => {
    const begun = await client().responses.create({
      model: "openclaw",
      input: "hi [[fake error=400]]",
      background: true,
    });
    const failed = await api().ended(begun.id, 60_000);
    assert.equal(failed.status, "failed");
    // Protocol 3 has no class of a failure.
    assert.match(failed.error.code, protocol === 4 ? /^provider_/ : /^run_failed$/);
  });
});
