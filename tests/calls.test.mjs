// A function that must be called, in workerd against the simulated gateway: the official SDK, on
// both endpoints.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey, sdk, startFront, unframed } from "./support/front.mjs";
import { spoken } from "./support/prompts.mjs";

const PARAMETERS = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};
const FUNCTION = { name: "User", description: "A person.", parameters: PARAMETERS };
const ARGUMENTS = '{"name":"Ada","age":36}';

for (const protocol of [4, 3]) {
  describe(`a function that must be called, protocol ${protocol}`, () => {
    const strict = newKey("strict", "main", "--tools", "refuse");
    let front;
    before(async () => (front = await startFront({ protocol, entries: [strict.entry] })));
    after(() => front.stop());

    const chat = (text, fields = {}, key = front.phone) =>
      sdk(front.worker, key).chat.completions.create({
        model: "openclaw",
        messages: [{ role: "user", content: spoken(text) }],
        tools: [{ type: "function", function: FUNCTION }],
        tool_choice: { type: "function", function: { name: "User" } },
        ...fields,
      });
    const respond = (text, fields = {}) =>
      sdk(front.worker, front.phone).responses.create({
        model: "openclaw",
        input: spoken(text),
        tools: [{ type: "function", ...FUNCTION, strict: true }],
        tool_choice: "required",
        ...fields,
      });
    const runs = async () => (await front.sim.journal()).runs.length;

    test("the answer of a chat completion is the call, whole and streamed", async () => {
      await front.sim.reset();
      for (const text of [ARGUMENTS, `Let me look.\n\n\`\`\`json\n${ARGUMENTS}\n\`\`\`\n`]) {
        const { choices } = await chat(text);
        assert.equal(choices[0].finish_reason, "tool_calls");
        const {
          content,
          tool_calls: [call, ...others],
        } = choices[0].message;
        assert.deepEqual([content, others], [null, []]);
        assert.match(call.id, /^call_[0-9a-f]{32}$/);
        assert.deepEqual(
          [call.type, call.function],
          ["function", { name: "User", arguments: ARGUMENTS }],
        );
      }
      const stream = sdk(front.worker, front.phone).chat.completions.stream({
        model: "openclaw",
        messages: [{ role: "user", content: spoken(ARGUMENTS) }],
        tools: [{ type: "function", function: FUNCTION }],
        tool_choice: "required",
        stream_options: { include_usage: true },
      });
      const { choices, usage } = await stream.finalChatCompletion();
      assert.deepEqual(
        [choices[0].finish_reason, choices[0].message.content],
        ["tool_calls", null],
      );
      assert.equal(choices[0].message.tool_calls[0].function.arguments, ARGUMENTS);
      assert.ok(usage.total_tokens > 1000);
      const { frames } = await front.sim.journal();
      const agent = frames.find(({ method }) => method === "agent").params;
      assert.match(
        unframed(agent.extraSystemPrompt),
        /client's function User: A person\.\n.*\n\{"type":"object","properties"/s,
      );
    });

    test("the answer of a response is the call, whole and streamed", async () => {
      const { output, status } = await respond(ARGUMENTS);
      assert.deepEqual([status, output.length], ["completed", 1]);
      const { id, call_id, ...call } = output[0];
      assert.deepEqual(call, {
        type: "function_call",
        status: "completed",
        name: "User",
        arguments: ARGUMENTS,
      });
      assert.match(id, /^fc_/);
      assert.match(call_id, /^call_[0-9a-f]{32}$/);
      const types = [];
      let streamed;
      for await (const event of await respond(ARGUMENTS, { stream: true })) {
        types.push(event.type);
        if (event.type === "response.function_call_arguments.done")
          assert.deepEqual([event.name, event.arguments], ["User", ARGUMENTS]);
        if (event.type === "response.completed") streamed = event.response.output[0];
      }
      assert.deepEqual(types, [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
      ]);
      assert.equal(streamed.arguments, ARGUMENTS);
    });

    test("the conversation goes on after the call's result, in a fresh session and in one that remembers", async () => {
      for (const user of [undefined, "anna"]) {
        const asked = spoken(ARGUMENTS);
        const { choices } = await chat(ARGUMENTS, { user });
        await front.sim.reset();
        const messages = [
          { role: "user", content: asked },
          choices[0].message,
          { role: "tool", tool_call_id: choices[0].message.tool_calls[0].id, content: "saved" },
          { role: "user", content: "Thanks. [[fake deltas=2]]" },
        ];
        const next = await sdk(front.worker, front.phone).chat.completions.create({
          model: "openclaw",
          user,
          messages,
        });
        assert.equal(next.choices[0].message.content, "w0 w1");
        const { frames } = await front.sim.journal();
        const { message } = frames.find(({ method }) => method === "agent").params;
        assert.match(message, /Tool:call_[0-9a-f]{32}: saved\n/);
        if (!user)
          assert.match(
            message,
            /Assistant: tool_call id=call_[0-9a-f]{32} name=User arguments=\{"name":"Ada","age":36\}/,
          );
      }
    });

    test("an answer that does not fit is one error, which no SDK retries and which quotes nothing of the answer", async () => {
      await front.sim.reset();
      for (const [text, problem] of [
        ["I am not sure, my PIN is 4711.", /does not end in one whole JSON object/],
        ['{"name":"4711"}', /age is missing/],
        ['{"name":"4711","age":"old"}', /age is not of the type integer/],
        ['{"name":"4711","age":1,"pin":4711}', /a member of another name/],
      ]) {
        const check = (error) => {
          assert.deepEqual(
            [error.status, error.code, error.type],
            [400, "answer_invalid", "invalid_request_error"],
            text,
          );
          assert.match(error.message, problem);
          return !error.message.includes("4711");
        };
        await assert.rejects(chat(text), check);
        await assert.rejects(respond(text), check);
        await assert.rejects(chat(text, { stream: true }), check);
      }
      assert.equal(await runs(), 12);
    });

    test("a choice that is not one call is refused, also by a key that refuses tools", async () => {
      await front.sim.reset();
      const two = [FUNCTION, { ...FUNCTION, name: "Other" }].map((each) => ({
        type: "function",
        function: each,
      }));
      for (const [fields, key, param] of [
        [{ tools: two, tool_choice: "required" }, front.phone, "tool_choice"],
        [
          { tool_choice: { type: "function", function: { name: "nobody" } } },
          front.phone,
          "tool_choice",
        ],
        [{ response_format: { type: "json_object" } }, front.phone, "response_format"],
        [{}, strict, "tool_choice"],
      ]) {
        await assert.rejects(
          chat(ARGUMENTS, fields, key),
          (error) => error.status === 400 && error.param === param,
        );
      }
      assert.equal(await runs(), 0);
      const named = await chat(ARGUMENTS, { tools: two });
      assert.equal(named.choices[0].message.tool_calls[0].function.name, "User");
    });
  });
}
