// Tests the streams of background responses, in workerd against the simulated gateway: readers
// leave, come back with a cursor, and get each event once.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { sdk, startFront } from "./support/front.mjs";
import { words } from "./support/prompts.mjs";
import {
  bytesOf,
  delta,
  deltasOf,
  isError,
  isWhole,
  ok,
  outputText,
  readEvents,
  responsesOf,
  summary,
} from "./support/stored.mjs";

// The gateway sends at most one event with text in 75 ms on protocol 4, so texts have `delay=80`.

/** A run without a client would be stopped within this time. */
const LEFT_MS = 1_500;

/** Readers at a time. */
const READERS = 10;

/** A stream that is silent for this time repeats that it is in progress: after 15 s. */
const SILENT_MS = 17_000;

for (const protocol of [4, 3]) {
  describe(`streams of background responses, protocol ${protocol}`, () => {
    let front, api;
    before(async () => {
      front = await startFront({ protocol });
      api = responsesOf(front.worker, front.phone);
    });
    after(() => front?.stop());

    const rest = async (id, cursor) => readEvents(await api.replay(id, cursor));
    const ends = async () => (await front.sim.journal()).runs.map(({ ended }) => ended);

    test("a reader that leaves stops nothing, and gets the rest at its cursor", async () => {
      await front.sim.reset();
      const { id, events, last } = await api.beginStream(
        "hi [[fake deltas=20 delay=80 stall=8]]",
        delta(6),
      );
      const { response } = events[0].data;
      assert.deepEqual(
        [response.status, response.background, response.store, response.output],
        ["in_progress", true, true, []],
      );
      await setTimeout(LEFT_MS);
      assert.deepEqual(await ends(), ["running"]);
      assert.deepEqual(
        [(await api.found(id)).id, (await api.found(id)).status],
        [id, "in_progress"],
      );
      const reading = api.replay(id, last).then((stream) => readEvents(stream));
      await front.sim.resume();
      const later = await reading;
      isWhole(later, { after: last });
      isWhole([...events, ...later]);
      assert.equal(deltasOf([...events, ...later]), words(20));
      const ended = await api.found(id);
      assert.deepEqual(ended, later.at(-1).data.response);
      assert.deepEqual([ended.status, outputText(ended)], ["completed", words(20)]);
      assert.equal((await ends()).length, 1);
    });

    test("every cursor of an ended stream gives the events after it, byte for byte", async () => {
      const all = await readEvents(
        await api.stream("hi [[fake deltas=12 delay=80]]", { background: true }),
      );
      isWhole(all);
      const { id } = all[0].data.response;
      // Source: openai-node 7.57.0, lib/responses/ResponseStream, read: it asks without a cursor.
      assert.deepEqual(bytesOf(await rest(id)), bytesOf(all));
      for (const { sequence } of all)
        assert.deepEqual(
          bytesOf(await rest(id, sequence)),
          bytesOf(all.slice(sequence + 1)),
          `after ${sequence}`,
        );
      // Source: azure-ai-agentserver-responses 2.3.0, measured.
      for (const cursor of [all.length, all.length + 1000, 2 ** 40])
        assert.deepEqual(await rest(id, cursor), [], `after ${cursor}`);
      for (const cursor of ["abc", "1.5", ""])
        isError(await api.get(id, `?stream=true&starting_after=${cursor}`), 400, {
          type: "invalid_request_error",
          param: "starting_after",
        });
      assert.equal(ok(await api.get(id, "?stream=false")).status, "completed");
      assert.equal(ok(await api.get(id, "?starting_after=2")).status, "completed");
    });

    test("a reader that leaves at each event in turn loses none and gets none twice", async () => {
      const { id, events } = await api.beginStream("hi [[fake deltas=30 delay=80]]");
      while (!/^response\.(?:completed|failed|incomplete)$/.test(events.at(-1).type)) {
        const { sequence } = events.at(-1);
        const next = await readEvents(await api.replay(id, sequence), {
          isLast: (event) => event.sequence >= sequence + 3,
        });
        assert.ok(next.length > 0, `nothing after\n${summary(events)}`);
        events.push(...next);
      }
      isWhole(events);
      assert.equal(deltasOf(events), words(30));
      assert.deepEqual(bytesOf(await rest(id)), bytesOf(events));
    });

    test("readers at different cursors get the same bytes at the same time", async () => {
      const { id, last } = await api.beginStream(
        "hi [[fake deltas=40 delay=80 stall=20]]",
        delta(20),
      );
      const edges = [api, responsesOf(front.worker.edge, front.phone)];
      const cursors = Array.from({ length: READERS }, (_, index) =>
        index === 0 ? undefined : Math.floor((last * index) / (READERS - 1)),
      );
      const reading = cursors.map(async (cursor, index) =>
        readEvents(await edges[index % 2].replay(id, cursor)),
      );
      await setTimeout(LEFT_MS);
      await front.sim.resume();
      const [all, ...others] = await Promise.all(reading);
      isWhole(all);
      assert.equal(deltasOf(all), words(40));
      for (const [index, events] of others.entries()) {
        const cursor = cursors[index + 1];
        assert.deepEqual(bytesOf(events), bytesOf(all.slice(cursor + 1)), `after ${cursor}`);
      }
      assert.deepEqual(bytesOf(await rest(id)), bytesOf(all));
    });

    test("the SDK resumes a stream, both with a cursor and with its helper", async () => {
      const { responses } = sdk(front.worker, front.phone);
      const stream = await responses.create({
        model: "openclaw",
        input: "hi [[fake deltas=20 delay=80 stall=10]]",
        background: true,
        stream: true,
      });
      let id;
      let cursor;
      for await (const event of stream) {
        id ??= event.response.id;
        cursor = event.sequence_number;
        if (cursor === 8) break;
      }
      const resume = async () => {
        const numbers = [];
        for await (const event of await responses.retrieve(id, {
          stream: true,
          starting_after: cursor,
        }))
          numbers.push(event.sequence_number);
        return numbers;
      };
      const help = async () => {
        const helper = responses.stream({ response_id: id, starting_after: cursor });
        const numbers = [];
        for await (const event of helper) numbers.push(event.sequence_number);
        return { numbers, final: await helper.finalResponse() };
      };
      const early = Promise.all([resume(), help()]);
      await setTimeout(LEFT_MS);
      await front.sim.resume();
      for (const [numbers, helped] of [await early, await Promise.all([resume(), help()])]) {
        assert.deepEqual(
          numbers,
          Array.from({ length: numbers.length }, (_, index) => cursor + 1 + index),
        );
        assert.deepEqual(helped.numbers, numbers);
        assert.deepEqual(
          [helped.final.id, helped.final.status, helped.final.output_text],
          [id, "completed", words(20)],
        );
      }
    });

    test("a stream of a run that fails ends once, with the failed response", async () => {
      const all = await readEvents(
        await api.stream("hi [[fake deltas=6 streamerror=3]]", { background: true }),
      );
      isWhole(all, { end: "response.failed" });
      const { response } = all.at(-1).data;
      assert.deepEqual([response.status, deltasOf(all)], ["failed", words(3)]);
      assert.ok(response.error.code && response.error.message, JSON.stringify(response.error));
      assert.deepEqual(bytesOf(await rest(response.id)), bytesOf(all));
      assert.deepEqual(bytesOf(await rest(response.id, 3)), bytesOf(all.slice(4)));
      assert.deepEqual(await api.found(response.id), response);
    });

    test("a retry of a request whose run has ended gets a whole stream", async () => {
      const send = (attempt) =>
        api.stream(
          "again [[fake deltas=3]]",
          { background: true },
          { "x-stainless-retry-count": String(attempt) },
        );
      isWhole(await readEvents(await send(0)));
      const again = await readEvents(await send(1));
      isWhole(again);
      assert.deepEqual(bytesOf(await rest(again[0].data.response.id)), bytesOf(again));
    });

    test("the head of a stream is there before its end", async () => {
      const { id } = await api.beginStream("hi [[fake deltas=3 stall=1]]");
      const head = await api.send("HEAD", `/${id}?stream=true`);
      assert.deepEqual(
        [head.status, head.headers.get("content-type"), await head.text()],
        [200, "text/event-stream; charset=utf-8", ""],
      );
      assert.equal((await api.found(id)).status, "in_progress");
      await front.sim.resume();
    });

    test("thoughts and tools of a run are in the replay, too", async () => {
      const stream = await api.stream(
        "hi [[fake reasoning=3 tool=1 deltas=5]]",
        { background: true },
        { "x-clawfront-reasoning": "on", "x-clawfront-progress": "on" },
      );
      const all = await readEvents(stream);
      isWhole(all);
      const { response } = all.at(-1).data;
      assert.deepEqual(bytesOf(await rest(response.id)), bytesOf(all));
      assert.deepEqual(await api.found(response.id), response);
    });

    test("a silent stream's events are numbered, too, and all readers get them", async () => {
      const { id, last } = await api.beginStream("hi [[fake deltas=6 delay=80 stall=3]]", delta(3));
      const reading = [undefined, last].map(async (cursor) =>
        readEvents(await api.replay(id, cursor)),
      );
      await setTimeout(SILENT_MS);
      await front.sim.resume();
      const [all, later] = await Promise.all(reading);
      isWhole(all);
      assert.deepEqual(bytesOf(later), bytesOf(all.slice(last + 1)));
      assert.deepEqual(bytesOf(await rest(id)), bytesOf(all));
    });
  });
}
