// The HTTP endpoint of a real gateway, asked by a proxy instead of the Worker: it sends what
// core/tests/recordings has. `CLAWFRONT_WRITE_EXPECTED=1` writes these files.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { newKey, post, says, until } from "../support/front.mjs";
import { FOR_TOOLS, protocol, proxied, startOpenClawFront, version } from "../support/openclaw.mjs";
import { steps } from "../support/prompts.mjs";

const tool = (name) => ({
  type: "function",
  function: {
    name,
    description: `Returns the ${name} of a city.`,
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
});
const tools = [tool("weather"), tool("time")];
const weather = { name: "weather", args: { city: "Paris" } };
const long = { name: "weather", args: { city: "Llanfairpwllgwyngyll é😀 ".repeat(20) } };
const time = { name: "time", args: { city: "Rome" } };

/** The recordings: what is asked for, by name. */
const RECORDED = {
  text: { prompt: "hi [[fake deltas=3 delay=20]]" },
  length: { prompt: "hi [[fake deltas=2 delay=20 finish=length]]" },
  failed: { prompt: "hi [[fake deltas=5 delay=20 streamerror=2]]" },
  refused: { prompt: "hi [[fake error=400]]" },
};
const RECORDED_WITH_TOOLS = {
  call: { prompt: steps({ tools: [weather] }) },
  "long-call": { prompt: steps({ tools: [long] }) },
  "two-calls": { prompt: steps({ tools: [weather, time] }) },
  "text-and-call": { prompt: steps({ text: "I ask for the weather.", tools: [weather] }) },
  "unmet-choice": { prompt: "hi [[fake deltas=1]]", tool_choice: "required" },
  "name-conflict": { prompt: "hi [[fake deltas=1]]", tools: [tool("exec")] },
};

describe(`the HTTP endpoint of OpenClaw ${version}`, () => {
  const key = newKey("phone", "main");
  const calls = [];
  const onCall = (_messages, call) => calls.push(call);
  const options = { entries: [key.entry], onCall, ...(protocol === 4 && FOR_TOOLS) };
  // 2026.3 knows only the shared secret.
  const identity = () =>
    protocol === 4 ? proxied("key-k1") : { authorization: `Bearer ${front.token}` };
  let front;
  before(async () => (front = await startOpenClawFront(options)));
  after(() => front?.stop());

  function ask({ prompt, ...fields }, { headers = identity(), signal } = {}) {
    const body = {
      model: "openclaw/main",
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: "user", content: prompt }],
      tools,
      ...fields,
    };
    return fetch(new URL("/v1/chat/completions", front.tunnel.url.replace(/^ws/, "http")), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      signal,
    });
  }

  const recordings = { ...RECORDED, ...(protocol === 4 && RECORDED_WITH_TOOLS) };
  for (const [name, request] of Object.entries(recordings)) {
    test(`sends what is recorded: ${name}`, async () => {
      const response = await ask(request);
      assert.equal(response.status, 200);
      const bytes = await response.text();
      const file = new URL(`../../core/tests/recordings/${version}-${name}.sse`, import.meta.url);
      if (process.env.CLAWFRONT_WRITE_EXPECTED) writeFileSync(file, bytes);
      assert.deepEqual(compared(bytes), compared(readFileSync(file, "utf8")));
    });
  }

  /** Returns true for each of the tools that the model may call for such a request. */
  async function offers(names, headers) {
    await (await ask({ prompt: "hi [[fake deltas=1]]" }, { headers })).text();
    const offered = calls.at(-1).tools.map((tool) => tool.function.name);
    return names.map((name) => offered.includes(name));
  }

  if (protocol === 3) {
    test("has no tools of clients, and takes each client for its owner", async () => {
      assert.deepEqual(await offers(["weather", "gateway"]), [false, true]);
    });
    return;
  }

  test("offers its owner's tools to a client without scopes only", async () => {
    assert.deepEqual(await offers(["weather", "computer"]), [true, false]);
    const { "x-openclaw-scopes": _, ...withoutScopes } = identity();
    assert.deepEqual(await offers(["weather", "computer"], withoutScopes), [true, true]);
  });

  test("takes a client from its proxy only", async () => {
    const { "x-forwarded-user": _, ...nobody } = identity();
    assert.equal((await ask({ prompt: "hi" }, { headers: nobody })).status, 401);
    const withSecret = { ...nobody, authorization: `Bearer ${front.token}` };
    assert.equal((await ask({ prompt: "hi" }, { headers: withSecret })).status, 401);
  });

  test("leaves a paired device its WebSocket", async () => {
    const { status } = await post(front.worker, key, says("hi [[fake deltas=1]]"));
    assert.equal(status, 200);
  });

  test("stops the run of a client that leaves", async () => {
    const controller = new AbortController();
    const before = front.provider.requests.length;
    const response = await ask(
      { prompt: "hi [[fake deltas=200 delay=50]]" },
      { signal: controller.signal },
    );
    const run = await until("the model answers", () => {
      const request = front.provider.requests[before];
      return request?.deltas > 2 && request;
    });
    controller.abort();
    await assert.rejects(response.text());
    await until("the model's work is stopped", () => run.aborted);
  });
});

/**
 * Returns the events of a stream without the parts that differ each time: ids, times, the pieces
 * that a text comes in, and the prompt's tokens, which count the model's calls.
 */
function compared(stream) {
  const events = [];
  const textOf = (event) => event?.choices?.[0]?.delta.content;
  for (const block of stream.split("\n\n")) {
    const event = block.startsWith("data: {") ? withoutIds(JSON.parse(block.slice(6))) : block;
    if (textOf(event) && textOf(events.at(-1)))
      events.at(-1).choices[0].delta.content += textOf(event);
    else events.push(event);
  }
  return events;
}

function withoutIds(event) {
  for (const field of ["id", "created"]) if (field in event) event[field] = typeof event[field];
  if (event.usage) event.usage = { ...event.usage, prompt_tokens: 0, total_tokens: 0 };
  for (const call of event.choices?.[0]?.delta.tool_calls ?? [])
    if (call.id) call.id = call.id.replace(/\w/g, "0");
  return event;
}
