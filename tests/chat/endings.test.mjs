// Tests chat completions that fail or are left, on both protocols, and the lines of the log about
// them.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { beginnings, lines, post, says, sdk, startFront, until } from "../support/front.mjs";
import { words } from "../support/prompts.mjs";

for (const protocol of [4, 3]) {
  describe(`ends of chat completions, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());

    test("a provider's failure is an error with a status, never an answer", async () => {
      await assert.rejects(
        sdk(front.worker, front.phone).chat.completions.create(says("hi [[fake error=400]]")),
        (error) => {
          assert.ok(error instanceof OpenAI.APIError);
          assert.equal(error.status, 400);
          assert.equal(error.code, protocol === 4 ? "provider_rejected_request" : "run_failed");
          assert.equal(error.headers.get("x-should-retry"), "false");
          return true;
        },
      );
    });

    test("a failure after the stream began is an error event, on which the SDK throws", async () => {
      const stream = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake deltas=6 streamerror=3]]", { stream: true }),
      );
      let text = "";
      await assert.rejects(
        (async () => {
          for await (const { choices } of stream) text += choices[0]?.delta.content ?? "";
        })(),
        (error) => error instanceof OpenAI.APIError && error.code === "run_failed",
      );
      assert.equal(text, words(3));
      const bytes = await (
        await post(
          front.worker,
          front.phone,
          says("hi [[fake deltas=6 streamerror=3]]", { stream: true }),
        )
      ).text();
      assert.ok(
        bytes.endsWith('"param":null,"code":"run_failed"}}\n\ndata: [DONE]\n\n'),
        bytes.slice(-200),
      );
      assert.ok(!bytes.includes('"finish_reason":"stop"'));
    });

    // On protocol 3 a text that does not go on is a new segment; only a failed attempt takes text
    // back there.
    const retraction =
      "a text that contradicts the streamed one is an error, and the run is stopped";
    if (protocol === 4)
      test(retraction, async () => {
        await front.sim.reset();
        const bytes = await (
          await post(
            front.worker,
            front.phone,
            says("hi [[fake deltas=60 retract=3 delay=20]]", { stream: true }),
          )
        ).text();
        assert.ok(bytes.includes('"code":"answer_retracted"'), bytes.slice(-300));
        assert.ok(!bytes.includes('"finish_reason":"stop"'));
        await until(
          "the run is stopped",
          async () => (await front.sim.journal()).runs[0].ended === "aborted",
        );
      });

    test("a client that leaves stops its run, and leaves no socket but the shared one", async () => {
      await front.sim.reset();
      const controller = new AbortController();
      const stream = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake deltas=400 delay=25]]", { stream: true }),
        {
          signal: controller.signal,
        },
      );
      let chunks = 0;
      for await (const _ of stream) {
        chunks += 1;
        if (chunks === 4) controller.abort();
      }
      const ending = protocol === 4 ? "aborted" : "running";
      const run = await until(`the run is ${ending}`, async () => {
        const { open_connections, runs } = await front.sim.journal();
        return open_connections <= 1 && runs[0].ended === ending && runs[0];
      });
      // Protocol 3 has no way to stop the run of `agent` with the scopes a Worker has: it goes on.
      assert.equal(run.abortedBy?.method, protocol === 4 ? "chat.abort" : undefined);
      const line = await until("the line is there", () =>
        lines(front.worker).find((line) => line.run === run.runId),
      );
      assert.equal(line.end, "client_closed_request");
    });

    test("every run leaves a line when it begins and one when it ends, without a word of its messages", async () => {
      const secretWords = ["zebra-question", "zebra-system", "zebra-session"];
      const response = await post(
        front.worker,
        front.phone,
        {
          model: "openclaw",
          messages: [
            { role: "system", content: secretWords[1] },
            { role: "user", content: `${secretWords[0]} [[fake echo=1]]` },
          ],
        },
        { headers: { "x-openclaw-session-key": secretWords[2] } },
      );
      const id = response.headers.get("x-request-id");
      const answer = await response.text();
      for (const word of secretWords) assert.ok(answer.includes(word));
      const own = await until("the line is there", () => {
        const own = lines(front.worker).filter((line) => line.request_id === id);
        return own.length > 0 && own;
      });
      assert.equal(own.length, 1);
      const [line] = own;
      const known = [
        "agent",
        "duration_ms",
        "event",
        "key",
        "method",
        "request_id",
        "route",
        "run",
        "session",
        "time_ms",
      ];
      const ended = [
        "cached_tokens",
        "end",
        "first_byte_ms",
        "input_tokens",
        "output_tokens",
        "status",
      ];
      assert.deepEqual(Object.keys(line).sort(), [...known, ...ended].sort());
      assert.deepEqual(
        [line.event, line.method, line.route],
        ["end", "POST", "/v1/chat/completions"],
      );
      const { usage } = JSON.parse(answer);
      assert.deepEqual(
        [line.input_tokens, line.output_tokens],
        [usage.prompt_tokens, usage.completion_tokens],
      );
      const begun = beginnings(front.worker).filter(({ request_id }) => request_id === id);
      assert.deepEqual(
        begun.map((line) => Object.keys(line).sort()),
        [known],
      );
      assert.deepEqual([begun[0].run, begun[0].session], [line.run, line.session]);
      assert.deepEqual(
        [line.key, line.agent, line.status, line.end],
        ["phone", "main", 200, "stop"],
      );
      assert.match(line.session, /^[0-9a-f]{16}$/);
      const log = front.worker.log.join("\n");
      for (const secret of [
        ...secretWords,
        "w0 w1",
        front.sim.token,
        front.phone.key,
        front.boss.key,
      ])
        assert.ok(!log.includes(secret));
    });
  });
}
