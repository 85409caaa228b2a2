// Tests the end of background responses by their clients, in workerd against the simulated gateway:
// `POST /v1/responses/{id}/cancel` stops the run, and its stream ends.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";
import { sdk, startFront, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { words } from "./support/prompts.mjs";
import {
  bytesOf,
  delta,
  deltasOf,
  isError,
  isUnknown,
  isWhole,
  ok,
  outputText,
  readEvents,
  responsesOf,
} from "./support/stored.mjs";

/** Time in which a cancelled response is answered. Source: Azure's contract for the API, read. */
const CANCELLED_MS = 10_000;

/** A run that was resumed has ended after this time. */
const ENDED_MS = 1_000;

for (const protocol of [4, 3]) {
  describe(`cancelled responses, protocol ${protocol}`, () => {
    let front, api;
    before(async () => {
      front = await startFront({ protocol });
      api = responsesOf(front.worker, front.phone);
    });
    // Nothing stops a run on protocol 3, so it has to end.
    afterEach(() => front?.sim.resume());
    after(() => front?.stop());

    const runs = async () => (await front.sim.journal()).runs;

    /** Cancels a response in time, and returns its object. */
    async function cancel(id) {
      const beganAt = performance.now();
      const object = ok(await api.cancel(id));
      const ms = performance.now() - beganAt;
      assert.ok(ms < CANCELLED_MS, `it took ${ms} ms`);
      return object;
    }

    /** Checks that the gateway stopped the only run. Nothing stops one on protocol 3. */
    async function isStopped() {
      if (protocol === 3) return assert.equal((await runs()).length, 1);
      const [run, ...others] = await until("the gateway has stopped the run", async () => {
        const all = await runs();
        return all.every(({ ended }) => ended === "aborted") && all;
      });
      assert.deepEqual(others, []);
      assert.match(run.abortedBy.method, /^(?:chat|sessions)\.abort$/);
    }

    /**
     * Checks the object of a cancelled response. Its output may be empty, as the peer's, or the
     * part that was there, as in OpenAI's example. Source: azure-ai-agentserver-responses 2.3.0,
     * measured; openai-openapi 2.3.0, `cancelResponse`, read.
     */
    function isCancelled(object, id, text) {
      const seen = JSON.stringify(object);
      assert.deepEqual(
        [object.id, object.status, object.background, object.error, object.incomplete_details],
        [id, "cancelled", true, null, null],
        seen,
      );
      assert.deepEqual([object.usage ?? null, object.completed_at ?? null], [null, null], seen);
      assert.ok(text.startsWith(outputText(object)), seen);
      for (const { status } of object.output) assert.notEqual(status, "completed", seen);
    }

    test("a response in progress is cancelled, and its run is stopped", async () => {
      await front.sim.reset();
      const { id } = await api.begin("hi [[fake deltas=6 stall=3]]");
      const { responses } = sdk(front.worker, front.phone);
      const cancelled = await responses.cancel(id);
      isCancelled(cancelled, id, words(3));
      await isStopped();
      const { concurrent_runs } = await (await get(front.worker, front.phone, "/v1/key")).json();
      if (protocol === 4) assert.equal(concurrent_runs.running, 0);
      assert.equal((await responses.retrieve(id)).status, "cancelled");
    });

    test("a second cancellation changes nothing, nor does the end of the run", async () => {
      await front.sim.reset();
      const { id } = await api.begin("hi [[fake deltas=6 stall=3]]");
      const first = await cancel(id);
      assert.deepEqual(await cancel(id), first);
      await front.sim.resume();
      await setTimeout(ENDED_MS);
      assert.deepEqual(await api.found(id), first);
      assert.deepEqual(await cancel(id), first);
      assert.equal((await runs()).length, 1);
    });

    test("two cancellations at once are answered with the same response", async () => {
      await front.sim.reset();
      const { id } = await api.begin("hi [[fake deltas=6 stall=3]]");
      const other = responsesOf(front.worker.edge, front.phone);
      const [first, second] = await Promise.all([api.cancel(id), other.cancel(id)]);
      assert.deepEqual(ok(second), ok(first));
      isCancelled(first.body, id, words(3));
      await isStopped();
    });

    test("its stream ends for every reader, with the cancelled response", async () => {
      await front.sim.reset();
      const { id, events, last } = await api.beginStream(
        "hi [[fake deltas=20 delay=80 stall=8]]",
        delta(4),
      );
      const reading = [undefined, last].map(async (cursor) =>
        readEvents(await api.replay(id, cursor)),
      );
      const helper = sdk(front.worker, front.phone).responses.stream({ response_id: id });
      const final = (async () => {
        for await (const _ of helper);
        return helper.finalResponse();
      })();
      await setTimeout(ENDED_MS);
      const object = await cancel(id);
      const [all, later] = await Promise.all(reading);
      // Source: azure-ai-agentserver-responses 2.3.0, measured: there is no event of this name. The
      // peer leaves out a number before it.
      isWhole(all, { end: "response.failed" });
      const types = all.map(({ type }) => type);
      // Source: openai-node 7.57.0, lib/responses/ResponseStream, read: it throws at an `error`.
      assert.ok(!types.includes("error"), types.join(" "));
      isCancelled(object, id, deltasOf(all));
      assert.deepEqual(all.at(-1).data.response, object);
      assert.deepEqual(bytesOf(later), bytesOf(all.slice(last + 1)));
      assert.deepEqual(bytesOf(all.slice(0, events.length)), bytesOf(events));
      assert.equal((await final).status, "cancelled");
      await isStopped();
      assert.deepEqual(bytesOf(await readEvents(await api.replay(id))), bytesOf(all));
      assert.deepEqual(await api.found(id), object);
    });

    test("a response that has ended is answered as it is", async () => {
      // Our contract. Azure and, by others' tests, OpenAI answer 400, `Cannot cancel a completed
      // response.` Source: azure-ai-agentserver-responses 2.3.0, measured.
      for (const directive of ["deltas=3", "deltas=3 finish=length", "error=400"]) {
        const { id } = await api.begin(`hi [[fake ${directive}]]`);
        const ended = await api.ended(id);
        assert.deepEqual(await cancel(id), ended);
        assert.deepEqual(await api.found(id), ended);
      }
    });

    test("an unknown response is not cancelled", async () => {
      const { id } = await api.begin("hi [[fake deltas=1]]");
      await api.ended(id);
      isUnknown(await api.cancel(id.replace(/.$/, (last) => (last === "0" ? "1" : "0"))));
      isUnknown(await api.cancel("resp_unknown"));
      await assert.rejects(
        sdk(front.worker, front.phone).responses.cancel("resp_unknown"),
        (error) => error instanceof OpenAI.NotFoundError,
      );
    });

    test("a response in progress cannot be deleted, and a cancelled one can", async () => {
      const { id } = await api.begin("hi [[fake deltas=6 stall=3]]");
      // Source: azure-ai-agentserver-responses 2.3.0, measured.
      isError(await api.remove(id), 400, {
        type: "invalid_request_error",
        message: "Cannot delete an in-flight response.",
      });
      assert.equal((await api.found(id)).status, "in_progress");
      await cancel(id);
      assert.equal(ok(await api.remove(id)).deleted, true);
      isUnknown(await api.get(id));
      await front.sim.resume();
      await setTimeout(ENDED_MS);
      isUnknown(await api.get(id));
    });

    test("a response that continues a cancelled one is answered", async () => {
      const { id } = await api.begin("hi [[fake deltas=6 stall=3]]");
      await cancel(id);
      await front.sim.resume();
      const next = await api.create("more [[fake deltas=2]]", { previous_response_id: id });
      // The gateway may still end the run, and nothing was started then.
      if (next.status !== 503) assert.equal(outputText(ok(next)), words(2));
    });
  });
}
