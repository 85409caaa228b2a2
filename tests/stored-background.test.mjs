// Tests background responses without a stream, in workerd against the simulated gateway, on both
// protocols: they are answered at once, go on without their client, and are found afterwards.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";
import { newKey, sdk, startFront } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { spoken, words } from "./support/prompts.mjs";
import {
  beginAndLeave,
  isError,
  isUnknown,
  ok,
  outputText,
  responsesOf,
} from "./support/stored.mjs";

/** A time that only the test ends, by far. */
const FOREVER_MS = 60_000;

/** A run without a client would be stopped within this time. */
const LEFT_MS = 1_500;

const usage = (outputTokens) => ({
  input_tokens: 1001,
  input_tokens_details: { cached_tokens: 100, cache_write_tokens: 0 },
  output_tokens: outputTokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 1001 + outputTokens,
});

for (const protocol of [4, 3]) {
  describe(`background responses, protocol ${protocol}`, () => {
    const narrow = newKey("narrow", "main", "--scopes", "chat");
    let front, api;
    before(async () => {
      front = await startFront({ protocol, entries: [narrow.entry] });
      api = responsesOf(front.worker, front.phone);
    });
    after(() => front?.stop());

    const runs = async () => (await front.sim.journal()).runs;
    const ends = async () => (await runs()).map(({ ended }) => ended);

    test("the SDK begins a response, and polls until it has ended", async () => {
      const { responses } = sdk(front.worker, front.phone);
      const begun = await responses.create({
        model: "openclaw",
        input: "hi [[fake deltas=5 stall=2]]",
        background: true,
        metadata: { order: "7" },
      });
      // Source: azure-ai-agentserver-responses 2.3.0, measured: no output, no usage, no end.
      assert.deepEqual(
        [begun.object, begun.status, begun.background, begun.store, begun.output],
        ["response", "in_progress", true, true, []],
      );
      assert.deepEqual(
        [begun.usage ?? null, begun.completed_at ?? null, begun.error, begun.metadata],
        [null, null, null, { order: "7" }],
      );
      const going = await responses.retrieve(begun.id);
      assert.deepEqual([going.id, going.status], [begun.id, "in_progress"]);
      await front.sim.resume();
      await api.ended(begun.id);
      const ended = await responses.retrieve(begun.id);
      assert.deepEqual(
        [ended.id, ended.status, ended.background, ended.store, ended.output_text],
        [begun.id, "completed", true, true, words(5)],
      );
      assert.deepEqual(ended.usage, usage(5));
      assert.deepEqual(
        [ended.created_at, ended.model, ended.error, ended.incomplete_details, ended.metadata],
        [begun.created_at, "openclaw", null, null, { order: "7" }],
      );
      assert.ok(ended.completed_at >= ended.created_at, JSON.stringify(ended));
      assert.deepEqual(
        ended.output.map(({ type, status }) => [type, status]),
        [["message", "completed"]],
      );
    });

    test("a client that leaves stops nothing, and the answer is found at every edge", async () => {
      await front.sim.reset();
      const { id } = await beginAndLeave(front.worker, front.phone, "hi [[fake deltas=6 stall=3]]");
      await setTimeout(LEFT_MS);
      assert.deepEqual(await ends(), ["running"]);
      await front.sim.resume();
      const ended = await responsesOf(front.worker.edge, front.phone).ended(id);
      assert.deepEqual([ended.status, outputText(ended)], ["completed", words(6)]);
      assert.deepEqual(await ends(), ["ok"]);
    });

    test("a response that has ended does not change", async () => {
      const { id } = await api.begin("hi [[fake deltas=3]]");
      await api.ended(id);
      const first = await api.get(id);
      const second = await api.get(id);
      assert.equal(first.text, second.text);
      assert.equal(first.headers.get("cache-control"), "no-store");
    });

    test("the answer comes once the gateway has accepted the run, and a refusal is plain", async () => {
      await front.sim.reset();
      const refused = await api.create("hi [[fake draining=1]]", { background: true });
      isError(refused, refused.status, { code: "gateway_unavailable" });
      assert.ok(refused.status >= 400, String(refused.status));
      assert.deepEqual(await runs(), []);
      const unknown = await api.create("hi", { background: true, model: "openclaw/nobody" });
      isError(unknown, 404, { code: "model_not_found" });

      let isAnswered = false;
      const slow = api
        .begin(`hi [[fake deltas=2 stall=1 slowaccept=${FOREVER_MS}]]`)
        .finally(() => (isAnswered = true));
      await setTimeout(LEFT_MS);
      assert.equal(isAnswered, false, "the gateway has not accepted the run");
      await front.sim.resume();
      const { id, status } = await slow;
      assert.equal(status, "in_progress");
      await front.sim.resume();
      assert.equal(outputText(await api.ended(id)), words(2));
    });

    test("a run that fails leaves a failed response with a code and a message", async () => {
      for (const [directive, text] of [
        ["error=400", ""],
        ["deltas=6 streamerror=3", words(3)],
      ]) {
        const { id, status } = await api.begin(`hi [[fake ${directive}]]`);
        assert.equal(status, "in_progress");
        const failed = await api.ended(id);
        const seen = JSON.stringify(failed);
        assert.deepEqual(
          [failed.id, failed.status, failed.completed_at],
          [id, "failed", null],
          seen,
        );
        // The codes of OpenAI's schema are few, so ours may stand in the message.
        assert.ok(failed.error.code && failed.error.message, seen);
        assert.match(
          `${failed.error.code} ${failed.error.message}`,
          /run_failed|provider_rejected_request/,
        );
        assert.ok(text.startsWith(outputText(failed)), seen);
        for (const item of failed.output) assert.equal(item.status, "incomplete", seen);
        const retrieved = await sdk(front.worker, front.phone).responses.retrieve(id);
        assert.equal(retrieved.status, "failed");
      }
    });

    test("an answer that was cut short is incomplete", async () => {
      const { id } = await api.begin("hi [[fake deltas=4 finish=length]]");
      const cut = await api.ended(id);
      assert.deepEqual(
        [cut.status, cut.incomplete_details, cut.error, outputText(cut)],
        ["incomplete", { reason: "max_output_tokens" }, null, words(4)],
      );
    });

    test("a function that must be called is the output", async () => {
      const { id } = await api.begin(spoken('{"city":"Paris"}'), {
        tools: [{ type: "function", name: "where", parameters: { type: "object" }, strict: false }],
        tool_choice: "required",
      });
      const { status, output } = await api.ended(id);
      assert.deepEqual(
        [status, output.map(({ type, name, arguments: given }) => [type, name, given])],
        ["completed", [["function_call", "where", '{"city":"Paris"}']]],
      );
    });

    test("a response continues a stored one, and is itself continued", async () => {
      await front.sim.reset();
      const first = await api.begin("q1 [[fake deltas=1]]");
      await api.ended(first.id);
      const second = await api.begin("q2 [[fake deltas=1]]", { previous_response_id: first.id });
      assert.equal(second.previous_response_id, first.id);
      await api.ended(second.id);
      const third = await api.create("q3 [[fake deltas=1]]", { previous_response_id: second.id });
      assert.equal(ok(third).previous_response_id, second.id);
      const sessions = (await runs()).map(({ sessionKey }) => sessionKey);
      assert.equal(sessions.length, 3);
      assert.equal(new Set(sessions).size, 1, sessions.join(" "));
    });

    test("a request that is sent twice under one Idempotency-Key is one response", async () => {
      await front.sim.reset();
      const order = { "idempotency-key": `background-${protocol}` };
      const send = () => api.create("hi [[fake deltas=4 stall=2]]", { background: true }, order);
      const [first, second] = [ok(await send()), ok(await send())];
      assert.equal(second.id, first.id);
      await front.sim.resume();
      assert.equal(outputText(await api.ended(first.id)), words(4));
      const third = ok(await send());
      assert.equal(third.id, first.id);
      assert.equal((await runs()).length, 1);
    });

    test("a run in the background is counted once, with its place while it goes on", async () => {
      const status = async () => (await get(front.worker, front.guest, "/v1/key")).json();
      const guest = responsesOf(front.worker, front.guest);
      const { id } = await guest.begin("hi [[fake deltas=3 stall=1]]");
      assert.equal((await status()).concurrent_runs.running, 1);
      await front.sim.resume();
      await guest.ended(id);
      for (let count = 0; count < 3; count++) await guest.found(id);
      const { usage_today, concurrent_runs } = await status();
      assert.equal(concurrent_runs.running, 0);
      assert.deepEqual(
        [usage_today.runs, usage_today.answers, usage_today.output_tokens],
        [1, 1, 3],
      );
    });

    test("a background response that may not be stored is refused", async () => {
      await front.sim.reset();
      // Source: azure-ai-agentserver-responses 2.3.0, measured.
      for (const stream of [false, true])
        isError(await api.create("hi", { background: true, store: false, stream }), 400, {
          type: "invalid_request_error",
          code: "invalid_request",
          param: "background",
        });
      await assert.rejects(
        sdk(front.worker, front.phone).responses.create({
          model: "openclaw",
          input: "hi",
          background: true,
          store: false,
        }),
        (error) => error instanceof OpenAI.BadRequestError && error.param === "background",
      );
      isError(await api.create("hi", { background: "yes" }), 400, { param: "background" });
      assert.deepEqual(await runs(), []);
    });

    test("it has no stream to be read, because it was begun without one", async () => {
      const { id } = await api.begin("hi [[fake deltas=3 stall=1]]");
      const isRefused = async (query) =>
        isError(await api.get(id, query), 400, {
          param: "stream",
          message: /^This response cannot be streamed because it was not created with stream=true/,
        });
      await isRefused("?stream=true");
      await front.sim.resume();
      await api.ended(id);
      await isRefused("?stream=true");
      await isRefused("?stream=true&starting_after=1");
      // Source: azure-ai-agentserver-responses 2.3.0, measured: a cursor alone has no effect.
      for (const query of ["?stream=false", "?starting_after=1"])
        assert.equal(ok(await api.get(id, query)).status, "completed");
    });

    test("a key without the scope reads none", async () => {
      const { id } = await api.begin("hi [[fake deltas=1]]");
      const other = responsesOf(front.worker, narrow);
      for (const answer of [await other.get(id), await other.cancel(id), await other.remove(id)])
        isError(answer, 403, { code: "missing_scope" });
      assert.equal(outputText(await api.ended(id)), "w0");
    });

    test("`background: false` and `null` are plain responses", async () => {
      for (const background of [false, null]) {
        const object = ok(await api.create("hi [[fake deltas=2]]", { background }));
        assert.deepEqual(
          [object.status, object.background, outputText(object)],
          ["completed", false, words(2)],
        );
        isUnknown(await api.get(object.id));
      }
    });
  });
}
