// Tests responses that are stored without `background`, in workerd against the simulated gateway:
// they are answered as ever, and are found once they have ended.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sdk, startFront, until } from "./support/front.mjs";
import { words } from "./support/prompts.mjs";
import {
  deltasOf,
  isError,
  isUnknown,
  isWhole,
  ok,
  outputText,
  readEvents,
  responsesOf,
} from "./support/stored.mjs";

for (const protocol of [4, 3]) {
  describe(`stored responses, protocol ${protocol}`, () => {
    let front, api;
    before(async () => {
      front = await startFront({ protocol });
      api = responsesOf(front.worker, front.phone);
    });
    after(() => front?.stop());

    test("a whole response is found as it was answered", async () => {
      const { responses } = sdk(front.worker, front.phone);
      const { id, output_text } = await responses.create({
        model: "openclaw",
        input: "hi [[fake deltas=4]]",
        store: true,
      });
      assert.equal(output_text, words(4));
      assert.equal((await responses.retrieve(id)).output_text, words(4));
      const created = ok(await api.create("hi [[fake deltas=3]]", { store: true }));
      assert.deepEqual(
        [created.status, created.store, created.background],
        ["completed", true, false],
      );
      assert.deepEqual(await api.found(created.id), created);
    });

    test("a streamed response is found as its last event has it", async () => {
      const events = await readEvents(await api.stream("hi [[fake deltas=5]]", { store: true }));
      isWhole(events);
      const { response } = events.at(-1).data;
      assert.deepEqual([response.store, deltasOf(events)], [true, words(5)]);
      assert.deepEqual(await api.found(response.id), response);
    });

    test("a response that failed is found as failed", async () => {
      const events = await readEvents(
        await api.stream("hi [[fake deltas=6 streamerror=3]]", { store: true }),
      );
      const { response } = events.at(-1).data;
      assert.deepEqual([response.status, response.error.code], ["failed", "invalid_prompt"]);
      // After the code of the last event, Codex sends nothing again. The object has the cause.
      const { code } = events.at(-2).data;
      assert.equal(code, "run_failed");
      const error = { ...response.error, code };
      assert.deepEqual(await api.found(response.id), { ...response, error });
    });

    test("it is not found before it has ended, nor stopped by an id", async () => {
      await front.sim.reset();
      // Source: azure-ai-agentserver-responses 2.3.0, measured: 404 while it is in flight.
      const stream = await api.stream("hi [[fake deltas=5 stall=2]]", { store: true });
      let begun;
      const reading = readEvents(stream, { onEvent: (event) => (begun ??= event) });
      await until("the stream has begun", () => begun);
      const { id } = begun.data.response;
      isUnknown(await api.get(id));
      for (const answer of [await api.cancel(id), await api.remove(id)])
        assert.ok([400, 404].includes(answer.status), answer.text);
      assert.deepEqual(
        (await front.sim.journal()).runs.map(({ ended }) => ended),
        ["running"],
      );
      await front.sim.resume();
      isWhole(await reading);
      assert.equal(outputText(await api.found(id)), words(5));
    });

    test("one whose client left is never complete", async () => {
      const stream = await api.stream("hi [[fake deltas=400 delay=25]]", { store: true });
      const [{ data }] = await readEvents(stream, { isLast: ({ sequence }) => sequence === 5 });
      if (protocol === 4)
        await until("the run is stopped", async () =>
          (await front.sim.journal()).runs.some(({ ended }) => ended === "aborted"),
        );
      const answer = await api.get(data.response.id);
      if (answer.status !== 404)
        assert.match(ok(answer).status, /^(?:failed|incomplete|cancelled)$/, answer.text);
    });

    test("it has no stream to be read, and cannot be stopped", async () => {
      // Source: azure-ai-agentserver-responses 2.3.0, measured.
      const whole = ok(await api.create("hi [[fake deltas=2]]", { store: true }));
      const events = await readEvents(await api.stream("hi [[fake deltas=2]]", { store: true }));
      for (const id of [whole.id, events[0].data.response.id]) {
        for (const query of ["?stream=true", "?stream=true&starting_after=0"])
          isError(await api.get(id, query), 400, {
            param: "stream",
            message:
              "This response cannot be streamed because it was not created with background=true.",
          });
        isError(await api.cancel(id), 400, {
          type: "invalid_request_error",
          message: "Cannot cancel a synchronous response.",
        });
        assert.equal((await api.found(id)).status, "completed");
      }
    });

    test("a response without `store` is not kept", async () => {
      for (const fields of [{}, { store: false }, { store: null }]) {
        const { id, store } = ok(await api.create("hi [[fake deltas=1]]", fields));
        assert.equal(store, false);
        for (const answer of [
          await api.get(id),
          await api.get(id, "?stream=true"),
          await api.cancel(id),
          await api.remove(id),
          await api.items(id),
        ])
          isUnknown(answer);
        const streamed = await readEvents(await api.stream("hi [[fake deltas=1]]", fields));
        isUnknown(await api.get(streamed[0].data.response.id));
      }
    });
  });
}
