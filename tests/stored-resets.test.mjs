// Tests what is left of stored responses when the hub's object is gone without notice, as after a
// kill of the runtime: the run is not started again, its answer arrives, and each reader gets each
// event once.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { withKillable } from "./support/killable.mjs";
import { words } from "./support/prompts.mjs";
import {
  bytesOf,
  delta,
  deltasOf,
  isUnknown,
  isWhole,
  ok,
  outputText,
  readEvents,
  responsesOf,
} from "./support/stored.mjs";

/** A run without a client is stopped after 30 to 60 s, and one in the background is not. */
const LEFT_MS = 65_000;

/** A response is found to have ended within this time, also if only the alarm wakes the hub. */
const FOUND_MS = 100_000;

/** Checks that the only run of the gateway came to its end. */
const isRunOnce = async ({ ends }) => assert.deepEqual(await ends(), ["ok"]);

/** Checks that the run of a key counts once. */
async function countsOnce(worker, key, outputTokens) {
  const { usage_today, concurrent_runs } = await (await get(worker, key, "/v1/key")).json();
  const { runs, answers, output_tokens } = usage_today;
  assert.deepEqual(
    [runs, answers, output_tokens, concurrent_runs.running],
    [1, 1, outputTokens, 0],
  );
}

// Most of their time is spent waiting.
describe("stored responses of a hub that is gone", { concurrency: 4 }, () => {
  for (const protocol of [4, 3]) {
    const named = (name) => `${name}, protocol ${protocol}`;

    test(
      named("a background response goes on, and its answer arrives"),
      withKillable({ protocol }, async (front) => {
        const { worker, phone, sim, kill } = front;
        const { id } = await responsesOf(worker, phone).begin("hi [[fake deltas=9 stall=4]]");
        const first = await kill(worker);
        const going = await responsesOf(first, phone).found(id);
        assert.deepEqual([going.status, going.background, going.output], ["in_progress", true, []]);
        // Also the hub that knows the run from its row.
        const second = await kill(first);
        const api = responsesOf(second, phone);
        assert.equal((await api.found(id)).status, "in_progress");
        await sim.resume();
        const ended = await api.ended(id, FOUND_MS);
        assert.deepEqual([ended.id, ended.status, outputText(ended)], [id, "completed", words(9)]);
        assert.deepEqual([ended.background, ended.store, ended.model], [true, true, "openclaw"]);
        assert.equal(ended.usage.output_tokens, 9);
        await isRunOnce(front);
        await countsOnce(second, phone, 9);
      }),
    );

    test(
      named("a run that ends while there is no hub leaves its answer"),
      withKillable({ protocol }, async (front) => {
        const { worker, phone, sim, ends, kill } = front;
        const { id } = await responsesOf(worker, phone).begin("hi [[fake deltas=7 stall=2]]");
        const meanwhile = async () => {
          await sim.resume();
          await until("the run has ended", async () => (await ends())[0] === "ok");
        };
        const again = await kill(worker, { meanwhile });
        const ended = await responsesOf(again, phone).ended(id, FOUND_MS);
        assert.deepEqual([ended.status, outputText(ended)], ["completed", words(7)]);
        await isRunOnce(front);
        await countsOnce(again, phone, 7);
      }),
    );

    test(
      named("a background run that no request asks about is not stopped"),
      withKillable({ protocol }, async (front) => {
        const { worker, phone, sim, ends, kill } = front;
        const { id } = await responsesOf(worker, phone).begin("hi [[fake deltas=5 stall=2]]");
        const again = await kill(worker);
        await setTimeout(LEFT_MS);
        assert.deepEqual(await ends(), ["running"]);
        await sim.resume();
        const ended = await responsesOf(again, phone).ended(id, FOUND_MS);
        assert.deepEqual([ended.status, outputText(ended)], ["completed", words(5)]);
        await isRunOnce(front);
      }),
    );

    test(
      named("a reader resumes a stream at its cursor, and the numbers go on"),
      withKillable({ protocol }, async (front) => {
        const { worker, phone, sim, kill } = front;
        const { id, events, last } = await responsesOf(worker, phone).beginStream(
          "hi [[fake deltas=20 delay=80 stall=8]]",
          delta(6),
        );
        const again = await kill(worker);
        const api = responsesOf(again, phone);
        const reading = [last, 2, undefined].map(async (cursor) =>
          readEvents(await api.replay(id, cursor)),
        );
        assert.equal((await api.found(id)).status, "in_progress");
        await setTimeout(1_000);
        await sim.resume();
        const [later, early, all] = await Promise.all(reading);
        isWhole(later, { after: last });
        isWhole(all);
        assert.equal(deltasOf([...events, ...later]), words(20));
        assert.equal(deltasOf(all), words(20));
        assert.deepEqual(bytesOf([...events, ...later]), bytesOf(all));
        assert.deepEqual(bytesOf(early), bytesOf(all.slice(3)));
        const { response } = all.at(-1).data;
        assert.deepEqual([response.id, outputText(response)], [id, words(20)]);
        assert.deepEqual(await api.found(id), response);
        await isRunOnce(front);
      }),
    );

    test(
      named("a stream that is cut at any event goes on after it"),
      withKillable({ protocol }, async (front) => {
        let { worker } = front;
        const { phone, kill } = front;
        const stream = await responsesOf(worker, phone).stream("hi [[fake deltas=150 delay=40]]", {
          background: true,
        });
        const events = [];
        const onEvent = (event) => events.push(event);
        let reading = readEvents(stream, { onEvent, cut: true });
        const hasEnded = () => events.at(-1)?.type === "response.completed";
        // The gateway goes on meanwhile, so text comes while there is no hub.
        for (const count of [6, 14, 22]) {
          await until(`${count} events are there`, () => events.length >= count || hasEnded());
          worker = await kill(worker);
          await reading;
          const { id } = events[0].data.response;
          const { sequence } = events.at(-1);
          const replay = await responsesOf(worker, phone).replay(id, sequence);
          reading = readEvents(replay, { onEvent, cut: true });
        }
        await reading;
        isWhole(events);
        assert.equal(deltasOf(events), words(150));
        const { response } = events.at(-1).data;
        const api = responsesOf(worker, phone);
        assert.deepEqual(bytesOf(await readEvents(await api.replay(response.id))), bytesOf(events));
        assert.deepEqual(await api.found(response.id), response);
        await isRunOnce(front);
        await countsOnce(worker, phone, 150);
      }),
    );

    test(
      named("a stream whose run ends while there is no hub has its end"),
      withKillable({ protocol }, async (front) => {
        const { worker, phone, sim, ends, kill } = front;
        const { id, events, last } = await responsesOf(worker, phone).beginStream(
          "hi [[fake deltas=12 delay=80 stall=6]]",
          delta(4),
        );
        const meanwhile = async () => {
          await sim.resume();
          await until("the run has ended", async () => (await ends())[0] === "ok");
        };
        const api = responsesOf(await kill(worker, { meanwhile }), phone);
        const later = await readEvents(await api.replay(id, last));
        isWhole([...events, ...later]);
        assert.equal(deltasOf([...events, ...later]), words(12));
        assert.equal(outputText(await api.found(id)), words(12));
        await isRunOnce(front);
      }),
    );

    test(
      named("responses that have ended are found, as they were"),
      withKillable({ protocol }, async ({ worker, phone, kill, runs }) => {
        const before = responsesOf(worker, phone);
        const whole = ok(await before.create("hi [[fake deltas=2]]", { store: true }));
        const background = await before.begin("hi [[fake deltas=3]]");
        await before.ended(background.id);
        const failed = await before.begin("hi [[fake deltas=6 streamerror=3]]");
        await before.ended(failed.id);
        const all = await readEvents(
          await before.stream("hi [[fake deltas=4]]", { background: true }),
        );
        const streamed = all.at(-1).data.response;
        const deleted = ok(await before.create("hi [[fake deltas=1]]", { store: true }));
        ok(await before.remove(deleted.id));
        const ids = [whole, background, failed, streamed].map(({ id }) => id);
        const answers = async (api) =>
          Promise.all(
            ids.map(async (id) => [(await api.get(id)).text, (await api.items(id)).text]),
          );
        const given = await answers(before);
        const after = responsesOf(await kill(worker), phone);
        assert.deepEqual(await answers(after), given);
        assert.deepEqual(bytesOf(await readEvents(await after.replay(streamed.id))), bytesOf(all));
        assert.deepEqual(
          bytesOf(await readEvents(await after.replay(streamed.id, 4))),
          bytesOf(all.slice(5)),
        );
        isUnknown(await after.get(deleted.id));
        assert.equal((await runs()).length, 5, "nothing was started again");
      }),
    );

    test(
      named("a response is cancelled by the next hub, and stays so for the one after it"),
      withKillable({ protocol }, async ({ worker, phone, kill, runs, ends }) => {
        const { id, events } = await responsesOf(worker, phone).beginStream(
          "hi [[fake deltas=20 delay=80 stall=8]]",
          delta(4),
        );
        const first = await kill(worker);
        const cancelled = ok(await responsesOf(first, phone).cancel(id));
        assert.equal(cancelled.status, "cancelled");
        if (protocol === 4)
          await until("the run is stopped", async () => (await ends())[0] === "aborted");
        const all = await readEvents(await responsesOf(first, phone).replay(id));
        isWhole(all, { end: "response.failed" });
        assert.deepEqual(bytesOf(all.slice(0, events.length)), bytesOf(events));
        const api = responsesOf(await kill(first), phone);
        assert.deepEqual(await api.found(id), cancelled);
        assert.deepEqual(bytesOf(await readEvents(await api.replay(id))), bytesOf(all));
        assert.equal((await runs()).length, 1);
      }),
    );

    test(
      named("a run that the gateway has forgotten is a failed response, never a complete one"),
      withKillable({ protocol }, async ({ worker, phone, sim, kill, runs }) => {
        const { id, events } = await responsesOf(worker, phone).beginStream(
          "hi [[fake deltas=20 delay=80 stall=8]]",
          delta(4),
        );
        const api = responsesOf(await kill(worker, { meanwhile: () => sim.crash() }), phone);
        const failed = await api.ended(id, FOUND_MS);
        assert.equal(failed.status, "failed", JSON.stringify(failed));
        assert.ok(failed.error.code && failed.error.message, JSON.stringify(failed.error));
        const all = await readEvents(await api.replay(id));
        isWhole(all, { end: "response.failed" });
        assert.deepEqual(bytesOf(all.slice(0, events.length)), bytesOf(events));
        assert.equal((await runs()).length, 1, "it is not started again");
      }),
    );
  }
});
