// Tests tools of the client against a real OpenClaw gateway in the mode trusted-proxy, behind a
// tunnel, with an unmodified SDK.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey, sdk, until } from "../support/front.mjs";
import { get } from "../support/keys.mjs";
import { FOR_TOOLS, protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { steps } from "../support/prompts.mjs";

const phone = newKey("tools-phone", "main", "--default", "main", "--tools", "run");
const tablet = newKey("tools-tablet", "main,beta", "--default", "main", "--tools", "run");
const plain = newKey("tools-plain", "main");

const tool = (name, properties = {}) => ({
  type: "function",
  function: { name, description: "Of the client.", parameters: { type: "object", properties } },
});
const WEATHER = tool("get_weather", { city: { type: "string" } });
const READ = tool("Read", { path: { type: "string" } });

const weather = (city) => ({ name: "get_weather", args: { city } });

/** Tools that only the gateway's owner has. */
const OF_OWNER = ["computer", "openclaw"];

const skip = protocol === 3 && "agents of OpenClaw 2026.3 cannot call a client's tools";

describe(`tools of the client, OpenClaw ${version}`, { skip }, () => {
  let front;
  /** The calls that the model has received. */
  const calls = [];
  const client = (key = phone) => sdk(front.worker, key);
  const chat = (messages, options) =>
    client().chat.completions.create({ model: "openclaw", messages, tools: [WEATHER], ...options });
  const offered = (call) => call.tools.map((offer) => offer.function.name);
  const user = (...list) => ({ role: "user", content: steps(...list) });

  before(async () => {
    front = await startOpenClawFront({
      entries: [phone.entry, tablet.entry, plain.entry],
      vars: { GATEWAY_HTTP: "trusted-proxy" },
      onCall: (_, call) => calls.push(call),
      ...FOR_TOOLS,
    });
  });
  after(() => front?.stop());

  test("a call comes back, and its result goes in", async () => {
    const messages = [user({ tools: [weather("Paris"), weather("Rome")] })];
    const first = await chat(messages, { temperature: 0.25, max_tokens: 77, seed: 5 });
    const [{ message, finish_reason }] = first.choices;
    assert.equal(finish_reason, "tool_calls");
    const cities = message.tool_calls.map((call) => JSON.parse(call.function.arguments).city);
    assert.deepEqual(cities, ["Paris", "Rome"]);
    assert.ok(first.usage.prompt_tokens > 0);
    const asked = calls.at(-1);
    assert.ok(offered(asked).includes("get_weather"));
    assert.deepEqual(
      offered(asked).filter((name) => OF_OWNER.includes(name)),
      [],
      "the run has no tools of the owner",
    );
    assert.deepEqual(
      [asked.temperature, asked.seed, asked.max_completion_tokens ?? asked.max_tokens],
      [0.25, 5, 77],
    );
    // The script of the first message would begin again in another session.
    messages[0].content = "What is the weather?";
    const results = ["sunny", steps({ text: "It is sunny." })];
    messages.push(
      message,
      ...message.tool_calls.map(({ id }, index) => ({
        ...{ role: "tool", tool_call_id: id, content: results[index] },
      })),
    );
    const second = await chat(messages);
    assert.equal(second.choices[0].message.content, "It is sunny.");
    assert.equal(second.choices[0].finish_reason, "stop");
    const told = JSON.stringify(calls.at(-1).messages);
    for (const part of ["get_weather", "Paris", "sunny"]) assert.ok(told.includes(part), part);
  });

  test("a streamed call has an id, a name and arguments in pieces", async () => {
    const city = "x".repeat(600);
    const args = JSON.stringify({ city });
    const stream = client().chat.completions.stream({
      ...{ model: "openclaw", tools: [WEATHER], stream_options: { include_usage: true } },
      messages: [{ role: "user", content: `hi [[fake tool=get_weather tooltext=1 args=${args}]]` }],
    });
    const completion = await stream.finalChatCompletion();
    const [{ message, finish_reason }] = completion.choices;
    assert.equal(finish_reason, "tool_calls");
    assert.equal(JSON.parse(message.tool_calls[0].function.arguments).city, city);
    assert.equal(message.content, "Let me check.");
    assert.ok(completion.usage.total_tokens > 0);
  });

  test("responses have items of calls, and go on after their outputs", async () => {
    const input = steps({ tools: [weather("Oslo")] }, { text: "It snows." });
    const tools = [{ type: "function", ...WEATHER.function }];
    const first = await client().responses.create({ model: "openclaw", input, tools });
    const call = first.output.find(({ type }) => type === "function_call");
    assert.deepEqual([call.name, JSON.parse(call.arguments)], ["get_weather", { city: "Oslo" }]);
    const second = await client().responses.create({
      ...{ model: "openclaw", tools, previous_response_id: first.id },
      input: [{ type: "function_call_output", call_id: call.call_id, output: "snow" }],
    });
    assert.equal(second.output_text, "It snows.");
    const events = [];
    const stream = await client().responses.create({
      ...{ model: "openclaw", tools, stream: true },
      input: steps({ tools: [weather("Bergen")] }),
    });
    for await (const event of stream) events.push(event);
    const types = events.map(({ type }) => type);
    for (const type of [
      "response.output_item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "response.output_item.done",
      "response.completed",
    ])
      assert.ok(types.includes(type), type);
    const done = events.find(({ type }) => type === "response.function_call_arguments.done");
    assert.deepEqual(JSON.parse(done.arguments), { city: "Bergen" });
  });

  test("a tool that is named like the gateway's own is called by the client's name", async () => {
    const messages = [user({ tools: [{ name: "client_Read", args: { path: "a.txt" } }] })];
    const tools = [READ];
    const first = await chat(messages, { tools });
    const [{ message }] = first.choices;
    assert.equal(message.tool_calls?.[0].function.name, "Read");
    messages[0].content = "Read a.txt.";
    messages.push(message, {
      ...{ role: "tool", tool_call_id: message.tool_calls[0].id },
      content: steps({ text: "Read." }),
    });
    assert.equal((await chat(messages, { tools })).choices[0].message.content, "Read.");
    const told = JSON.stringify(calls.at(-1).messages);
    assert.ok(told.includes("name=client_Read"), "the history has the name that the model knows");
    assert.ok(told.includes("`Read` is `client_Read`"), "the model knows the client's name");
  });

  test("a choice is obeyed, or is an error", async () => {
    const none = await chat([user({ text: "No call." })], { tool_choice: "none" });
    assert.equal(none.choices[0].message.content, "No call.");
    assert.ok(!offered(calls.at(-1)).includes("get_weather"));
    await assert.rejects(chat([user({ text: "No call." })], { tool_choice: "required" }), {
      ...{ status: 400, code: "answer_invalid" },
    });
    const forced = await chat([user({ tools: [weather("Rome")] })], {
      tool_choice: { type: "function", function: { name: "get_weather" } },
    });
    assert.equal(forced.choices[0].finish_reason, "tool_calls");
  });

  test("a client that leaves stops the run", async () => {
    const begun = front.provider.requests.length;
    const controller = new AbortController();
    const stream = await client().chat.completions.create(
      {
        ...{ model: "openclaw", stream: true, tools: [WEATHER] },
        messages: [{ role: "user", content: "hi [[fake deltas=400 delay=50]]" }],
      },
      { signal: controller.signal },
    );
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    controller.abort();
    await until("the model's call is stopped", () => front.provider.requests[begun].aborted);
  });

  test("a failure of the model is one here, and not an answer", async () => {
    await assert.rejects(
      chat([{ role: "user", content: "hi [[fake error=400]]" }]),
      ({ status, code }) => status === 400 && code === "provider_rejected_request",
    );
  });

  test("a key without the right uses the WebSocket, and names the tools as ignored", async () => {
    const { data, response } = await client(plain)
      .chat.completions.create({
        ...{ model: "openclaw", tools: [WEATHER] },
        messages: [user({ text: "Only text." })],
      })
      .withResponse();
    assert.equal(data.choices[0].message.content, "Only text.");
    assert.equal(response.headers.get("x-clawfront-ignored"), "tools");
    assert.ok(!offered(calls.at(-1)).includes("get_weather"));
  });

  test("each run counts once, with its tokens", async () => {
    const before = (await (await get(front.worker, tablet, "/v1/key")).json()).usage_today;
    const { usage } = await client(tablet).chat.completions.create({
      ...{ model: "openclaw/beta", tools: [WEATHER] },
      messages: [user({ tools: [weather("Rome")] })],
    });
    const { usage_today } = await (await get(front.worker, tablet, "/v1/key")).json();
    assert.deepEqual(
      [usage_today.runs - before.runs, usage_today.answers - before.answers],
      [1, 1],
    );
    assert.equal(usage_today.input_tokens - before.input_tokens, usage.prompt_tokens);
  });
});
