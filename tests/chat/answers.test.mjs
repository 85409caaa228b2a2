// Tests the answers of chat completions on both protocols: streams, whole answers, and their exact
// bytes.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { collect, eventsOf, post, says, sdk, startFront } from "../support/front.mjs";
import { spoken, words } from "../support/prompts.mjs";

for (const protocol of [4, 3]) {
  describe(`chat completions, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());

    test("the SDK streams an answer", async () => {
      const stream = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake deltas=30 delay=5]]", {
          stream: true,
          stream_options: { include_usage: true },
        }),
      );
      const seen = await collect(stream);
      assert.equal(seen.text, words(30));
      assert.deepEqual(seen.roles, ["assistant"]);
      assert.deepEqual(seen.finish, ["stop"]);
      assert.equal(seen.ids.size, 1);
      assert.deepEqual(seen.usage, {
        prompt_tokens: 1001,
        completion_tokens: 30,
        total_tokens: 1031,
        prompt_tokens_details: { cached_tokens: 100 },
      });
    });

    test("the SDK gets a whole answer", async () => {
      const completion = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake deltas=4 finish=length]]"),
      );
      assert.equal(completion.object, "chat.completion");
      assert.equal(completion.model, "openclaw");
      assert.equal(completion.choices[0].message.content, words(4));
      assert.equal(completion.choices[0].finish_reason, "length");
      assert.equal(completion.usage.total_tokens, 1005);
    });

    test("the bytes of a stream are exactly these", async () => {
      const response = await post(
        front.worker,
        front.phone,
        says("hi [[fake deltas=1]]", { stream: true, model: "OpenClaw/Main" }),
      );
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
      assert.equal(response.headers.get("cache-control"), "no-cache, no-transform");
      const id = response.headers.get("x-request-id");
      const bytes = await response.text();
      const created = bytes.match(/"created":(\d+)/)[1];
      assert.ok(Math.abs(created - Date.now() / 1000) < 60);
      const chunk = (choice) =>
        `data: {"id":"chatcmpl-${id}","object":"chat.completion.chunk","created":${created},"model":"OpenClaw/Main","choices":[${choice}]}\n\n`;
      assert.equal(
        bytes,
        chunk('{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}') +
          chunk('{"index":0,"delta":{"content":"w0"},"finish_reason":null}') +
          chunk('{"index":0,"delta":{},"finish_reason":"stop"}') +
          "data: [DONE]\n\n",
      );
    });

    test("an answer ends before its first stop sequence, and its usage is that of the whole run", async () => {
      // The pieces are "w0", " w1", " w2" and so on.
      for (const [stop, text, finish] of [
        ["1 w2", "w0 w", "stop"],
        [["w4", "w3"], "w0 w1 w2 ", "stop"],
        [["w9", ""], "w0 w1 w2 w3 w4", "length"],
      ]) {
        const body = says("hi [[fake deltas=5 finish=length]]", { stop });
        const whole = await sdk(front.worker, front.phone).chat.completions.create(body);
        assert.deepEqual(
          [whole.choices[0].message.content, whole.choices[0].finish_reason],
          [text, finish],
        );
        const seen = await collect(
          await sdk(front.worker, front.phone).chat.completions.create({
            ...body,
            stream: true,
            stream_options: { include_usage: true },
          }),
        );
        assert.deepEqual([seen.text, seen.finish], [text, [finish]]);
        assert.deepEqual(
          [whole, seen].map(({ usage }) => usage.completion_tokens),
          [5, 5],
        );
      }
      for (const stop of [["1", "2", "3", "4", "5"], 7]) {
        const response = await post(front.worker, front.phone, says("hi", { stop }));
        assert.deepEqual([response.status, (await response.json()).error.param], [400, "stop"]);
      }
    });

    test("text arrives while the run goes on, and multi-byte text arrives whole", async () => {
      const text = "Grüße, 世界! 👩‍🚀 ".repeat(20);
      const directive = spoken(text, 10);
      const stream = await sdk(front.worker, front.phone).chat.completions.create(
        says(directive, { stream: true }),
      );
      const arrivals = [];
      let got = "";
      for await (const { choices } of stream) {
        if (choices[0]?.delta.content) arrivals.push(performance.now());
        got += choices[0]?.delta.content ?? "";
      }
      assert.equal(got.trimEnd(), text.trimEnd());
      assert.ok(
        arrivals.length > 3 && arrivals.at(-1) - arrivals[0] > 100,
        `${arrivals.length} pieces`,
      );
    });

    if (protocol === 4) {
      // On protocol 3 each few of them would come with all before.
      test("frames of any size and script arrive whole", async () => {
        for (const text of ["a".repeat(150_000), "ä".repeat(40_000), "ä世👩".repeat(30_000)]) {
          const told = says(spoken(text, 0), {
            stream: true,
          });
          const seen = await collect(
            await sdk(front.worker, front.phone).chat.completions.create(told),
          );
          assert.ok(seen.text === text, `${seen.text.length} of ${text.length}`);
          assert.deepEqual(seen.finish, ["stop"]);
        }
      });
    }

    test("items with a tool between them are joined by a blank line", async () => {
      const completion = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake tool=1 deltas=2]]"),
      );
      assert.equal(completion.choices[0].message.content, "Let me check.\n\nw0 w1");
    });

    test("a failed attempt that is repeated shows no text twice", async () => {
      const stream = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake retry=2 cut=3 deltas=6]]", { stream: true }),
      );
      const seen = await collect(stream);
      assert.equal(seen.text, words(6));
      assert.deepEqual(seen.finish, ["stop"]);
    });

    test("runs of others and unknown events between the deltas change nothing", async () => {
      const completion = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake deltas=10 foreign=2 unknown=1]]"),
      );
      assert.equal(completion.choices[0].message.content, words(10));
    });

    test("fifty runs at once do not mix", async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const text = `answer number ${index}, `.repeat(10).trimEnd();
          const directive = spoken(text, 5);
          const stream = await sdk(
            front.worker,
            index % 2 ? front.phone : front.boss,
          ).chat.completions.create(says(directive, { stream: true, model: "openclaw/main" }));
          return (await collect(stream)).text === text;
        }),
      );
      assert.deepEqual(answers, Array(50).fill(true));
    });

    test("reasoning is sent on request, apart from the answer", async () => {
      const body = (stream) => says("hi [[fake reasoning=4 deltas=3]]", { stream });
      const headers = { "x-clawfront-reasoning": "on" };
      const whole = async (headers) =>
        (await (await post(front.worker, front.phone, body(false), { headers })).json()).choices[0]
          .message;
      const streamed = await (
        await post(front.worker, front.phone, body(true), { headers })
      ).text();
      const deltas = eventsOf(streamed).map(({ choices }) => choices[0].delta);
      const told = (field) => deltas.map((delta) => delta[field] ?? "").join("");
      assert.equal(told("content"), words(3));
      assert.equal((await whole({})).reasoning_content, undefined);
      const message = await whole(headers);
      assert.equal(message.content, words(3));
      // Protocol 3 has no such event.
      assert.equal(told("reasoning_content").length > 10, protocol === 4, JSON.stringify(deltas));
      assert.equal(
        message.reasoning_content,
        protocol === 4 ? told("reasoning_content") : undefined,
      );
      const refused = await post(front.worker, front.phone, body(false), {
        headers: { "x-clawfront-reasoning": "maybe" },
      });
      assert.deepEqual(
        [refused.status, (await refused.json()).error.param],
        [400, "x-clawfront-reasoning"],
      );
    });

    test("the names of tools are sent on request, in comments", async () => {
      const body = says("use it [[fake deltas=3 tool=exec]]", { stream: true });
      const told = async (headers) =>
        (await (await post(front.worker, front.phone, body, { headers })).text()).match(/^: .*$/gm);
      assert.deepEqual(await told({ "x-clawfront-progress": "on" }), [
        ": tool exec started",
        ": tool exec ended",
      ]);
      assert.equal(await told({}), null);
    });

    test("a frame that is not JSON ends nothing", async () => {
      const completion = await sdk(front.worker, front.phone).chat.completions.create(
        says("hi [[fake deltas=6 garbage=3]]"),
      );
      assert.equal(completion.choices[0].message.content, words(6));
    });
  });
}
