// `POST /v1/responses` in workerd against the simulated gateway, on both protocols: the official
// SDK, and the bytes themselves.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { newKey, sdk, startFront, unframed, until } from "./support/front.mjs";
import { framed, inputFileOf, PIXEL, words } from "./support/prompts.mjs";

const IMAGE = `data:image/png;base64,${PIXEL}`;

/** `POST /v1/responses` without an SDK. */
const post = (worker, { key }, body, headers = {}) =>
  fetch(`${worker.url}/v1/responses`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

for (const protocol of [4, 3]) {
  describe(`responses, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());

    test("the SDK streams a response, and puts it together itself", async () => {
      const stream = sdk(front.worker, front.phone).responses.stream({
        model: "openclaw",
        input: "hi [[fake deltas=30 delay=5]]",
      });
      const types = [];
      let text = "";
      let next = 0;
      for await (const event of stream) {
        assert.equal(event.sequence_number, next++);
        if (types.at(-1) !== event.type) types.push(event.type);
        if (event.type === "response.output_text.delta") text += event.delta;
      }
      assert.equal(text, words(30));
      assert.deepEqual(types, [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
      ]);
      const response = await stream.finalResponse();
      assert.equal(response.output_text, words(30));
      assert.deepEqual(
        [response.status, response.model, response.error],
        ["completed", "openclaw", null],
      );
      assert.deepEqual(response.usage, {
        input_tokens: 1001,
        input_tokens_details: { cached_tokens: 100, cache_write_tokens: 0 },
        output_tokens: 30,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 1031,
      });
    });

    test("the SDK gets a whole response", async () => {
      const { responses } = sdk(front.worker, front.phone);
      const response = await responses.create({ model: "openclaw", input: "hi [[fake deltas=4]]" });
      assert.deepEqual(
        [response.object, response.status, response.output_text],
        ["response", "completed", words(4)],
      );
      assert.match(response.id, /^resp_[0-9a-f]{72}$/);
      const cut = await responses.create({
        model: "openclaw",
        input: "hi [[fake deltas=4 finish=length]]",
      });
      assert.deepEqual(
        [cut.status, cut.incomplete_details, cut.output_text],
        ["incomplete", { reason: "max_output_tokens" }, words(4)],
      );
    });

    test("every event says its type on its own line, and the stream ends with the last of them", async () => {
      const response = await post(front.worker, front.phone, {
        model: "openclaw",
        input: "hi [[fake deltas=2]]",
        stream: true,
      });
      assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
      const events = (await response.text()).split("\n\n");
      assert.equal(events.pop(), "");
      for (const event of events) {
        const [, name, data] = event.match(/^event: (.+)\ndata: (.+)$/);
        assert.equal(JSON.parse(data).type, name);
      }
      assert.match(events.at(-1), /^event: response\.completed\n/);
    });

    test("a response goes on in the session of the one before, and only for its key", async () => {
      await front.sim.reset();
      const { responses } = sdk(front.worker, front.phone);
      const ask = (input, fields) =>
        responses.create({ model: "openclaw", input: `${input} [[fake deltas=1]]`, ...fields });
      const first = await ask("q1");
      const second = await ask("q2", { previous_response_id: first.id });
      const third = await ask("q3", { previous_response_id: second.id });
      await ask("q4");
      assert.deepEqual(
        [second.previous_response_id, third.previous_response_id],
        [first.id, second.id],
      );
      const runs = (await front.sim.journal()).runs.map(({ sessionKey }) => sessionKey);
      assert.equal(new Set(runs.slice(0, 3)).size, 1);
      assert.notEqual(runs[3], runs[0]);
      const others = sdk(front.worker, front.boss).responses.create({
        model: "openclaw/main",
        input: "q5",
        previous_response_id: first.id,
      });
      await assert.rejects(
        others,
        (error) => error.status === 400 && error.param === "previous_response_id",
      );
      assert.equal((await front.sim.journal()).runs.length, 4);
    });

    test("images and turns of tools reach the agent", async () => {
      const response = await sdk(front.worker, front.phone).responses.create({
        model: "openclaw",
        instructions: "be brief",
        input: [
          { role: "user", content: "weather?" },
          { type: "function_call", call_id: "call_1", name: "get_weather", arguments: "{}" },
          { type: "function_call_output", call_id: "call_1", output: "sunny" },
          {
            role: "user",
            content: [
              { type: "input_text", text: "and here? [[fake echo=1]]" },
              { type: "input_image", detail: "auto", image_url: IMAGE },
            ],
          },
        ],
      });
      const given = JSON.parse(response.output_text);
      assert.equal(unframed(given.extraSystemPrompt), "be brief");
      assert.equal(
        given.message,
        "[Chat messages since your last reply - for context]\nUser: weather?\nAssistant: tool_call id=call_1 name=get_weather arguments={}\nTool:call_1: sunny\n\n" +
          "[Current message - respond to this]\nUser: and here? [[fake echo=1]]",
      );
      assert.equal(given.attachmentCount, 1);
    });

    test("files of the user and of a tool's result reach the agent", async () => {
      const response = await sdk(front.worker, front.phone).responses.create({
        model: "openclaw",
        input: [
          {
            role: "user",
            content: [
              { type: "input_text", text: "read [[fake echo=1]]" },
              inputFileOf("a.md", "# A"),
            ],
          },
          { type: "function_call", call_id: "call_1", name: "read", arguments: "{}" },
          { type: "function_call_output", call_id: "call_1", output: [inputFileOf("b.md", "# B")] },
          { role: "user", content: "done [[fake echo=1]]" },
        ],
      });
      const given = JSON.parse(response.output_text);
      assert.equal(
        given.message,
        "[Chat messages since your last reply - for context]\n" +
          `User: read [[fake echo=1]]\n${framed("a.md", "# A")}\n` +
          "Assistant: tool_call id=call_1 name=read arguments={}\n" +
          `Tool:call_1: ${framed("b.md", "# B")}\n\n` +
          "[Current message - respond to this]\nUser: done [[fake echo=1]]",
      );
    });

    test("reasoning is an item of its own, on request", async () => {
      const body = { model: "openclaw", input: "hi [[fake reasoning=4 deltas=3]]" };
      const on = { "x-clawfront-reasoning": "on" };
      const whole = await (await post(front.worker, front.phone, body, on)).json();
      const types = whole.output.map(({ type }) => type);
      // Protocol 3 has no such event.
      assert.deepEqual(types, protocol === 4 ? ["reasoning", "message"] : ["message"]);
      const stream = sdk(front.worker, front.phone).responses.stream(
        { model: "openclaw", ...body },
        { headers: on },
      );
      const response = await stream.finalResponse();
      assert.deepEqual(
        response.output.map(({ type }) => type),
        types,
      );
      assert.equal(response.output_text, words(3));
      if (protocol === 4) assert.ok(response.output[0].content[0].text.length > 10);
    });

    test("a failure before the response began has its status, one within it ends it as failed", async () => {
      const { responses } = sdk(front.worker, front.phone);
      await assert.rejects(
        responses.create({ model: "openclaw", input: "hi [[fake error=400]]" }),
        (error) => {
          assert.ok(error instanceof OpenAI.APIError);
          assert.deepEqual(
            [error.status, error.code],
            [400, protocol === 4 ? "provider_rejected_request" : "run_failed"],
          );
          return true;
        },
      );
      const body = { model: "openclaw", input: "hi [[fake deltas=6 streamerror=3]]", stream: true };
      let text = "";
      await assert.rejects(
        (async () => {
          for await (const event of await responses.create(body))
            text += event.type === "response.output_text.delta" ? event.delta : "";
        })(),
        (error) => error instanceof OpenAI.APIError && error.code === "run_failed",
      );
      assert.equal(text, words(3));
      const events = (await (await post(front.worker, front.phone, body)).text())
        .split("\n\n")
        .filter(Boolean);
      const [error, failed] = events
        .slice(-2)
        .map((event) => JSON.parse(event.split("\ndata: ")[1]));
      assert.deepEqual(
        [error.type, error.code, failed.type, failed.response.status],
        ["error", "run_failed", "response.failed", "failed"],
      );
      assert.deepEqual(failed.response.error, {
        code: "invalid_prompt",
        message: "The agent's run failed. (invalid_request_error: run_failed)",
      });
      assert.equal(failed.response.output[0].status, "incomplete");
      assert.ok(!events.some((event) => event.startsWith("event: response.completed")));
    });

    test("fields that Codex and the Agents SDK always send are accepted, and named if they have no effect", async () => {
      const response = await post(front.worker, front.phone, {
        model: "openclaw",
        instructions: "You are Codex.",
        input: [
          {
            type: "message",
            role: "user",
            content: [{ type: "input_text", text: "hi [[fake deltas=1]]" }],
          },
        ],
        tools: [
          { type: "function", name: "shell", parameters: { type: "object" }, strict: false },
          { type: "web_search" },
        ],
        tool_choice: "auto",
        parallel_tool_calls: false,
        reasoning: { effort: "medium", summary: "auto" },
        store: false,
        stream: true,
        include: ["reasoning.encrypted_content"],
        prompt_cache_key: "7f3c",
        text: { verbosity: "medium" },
      });
      assert.equal(response.status, 200);
      assert.equal(
        response.headers.get("x-clawfront-ignored"),
        "include, parallel_tool_calls, reasoning, text.verbosity, tool_choice, tools",
      );
      assert.match(await response.text(), /event: response\.completed\n/);
    });

    test("a field that is not supported is refused by name", async () => {
      for (const [fields, param] of [
        [{ conversation: "conv_1" }, "conversation"],
        [{ prompt: { id: "pmpt_1" } }, "prompt"],
        [{ model: "openclaw", input: [{ type: "item_reference", id: "msg_1" }] }, "input[0].id"],
        [{ previous_response_id: "resp_1" }, "previous_response_id"],
      ]) {
        const response = await post(front.worker, front.phone, {
          model: "openclaw",
          input: "hi",
          ...fields,
        });
        assert.deepEqual([response.status, (await response.json()).error.param], [400, param]);
      }
    });

    test("a client that leaves stops its run", async () => {
      await front.sim.reset();
      const stream = await sdk(front.worker, front.phone).responses.create({
        model: "openclaw",
        input: "hi [[fake deltas=400 delay=25]]",
        stream: true,
      });
      for await (const event of stream) if (event.type === "response.output_text.delta") break;
      const ending = protocol === 4 ? "aborted" : "running";
      await until(`the run is ${ending}, and no socket is left but the shared one`, async () => {
        const { open_connections, runs } = await front.sim.journal();
        return open_connections <= 1 && runs[0].ended === ending;
      });
    });
  });
}

test("a key's scopes say whether it may", async () => {
  const chat = newKey("chat", "main", "--scopes", "chat");
  const only = newKey("only", "main", "--scopes", "responses");
  const front = await startFront({ vars: { CLIENT_KEYS: `${chat.entry}\n${only.entry}` } });
  try {
    const refused = await post(front.worker, chat, { model: "openclaw", input: "hi" });
    assert.deepEqual([refused.status, (await refused.json()).error.code], [403, "missing_scope"]);
    const answered = await post(front.worker, only, {
      model: "openclaw",
      input: "hi [[fake deltas=1]]",
    });
    assert.deepEqual(
      [answered.status, (await answered.json()).output[0].content[0].text],
      [200, "w0"],
    );
  } finally {
    await front.stop();
  }
});
