// Tests tools of the client in workerd against the simulated gateway: faults that a real gateway
// does not have on demand, and that a run is never started twice or left running.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { admin, createKey, startAdminFront } from "./support/admin.mjs";
import { lines, newKey, post, sdk, startFront, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { withKillable } from "./support/killable.mjs";
import { fileOf, framed } from "./support/prompts.mjs";

const tools = [
  {
    type: "function",
    function: { name: "get_weather", parameters: { type: "object", properties: {} } },
  },
];
const options = {
  simArgs: ["--chat-completions", "trusted-proxy"],
  vars: { GATEWAY_HTTP: "trusted-proxy" },
};
const phone = newKey("tools", "main", "--default", "main", "--tools", "run");
const kept = newKey("kept", "main", "--tools", "run", "--on-disconnect", "finish");
const says = (words, fields) => ({
  ...{ model: "openclaw", tools, messages: [{ role: "user", content: `hi [[fake ${words}]]` }] },
  ...fields,
});

describe("tools of the client", () => {
  let front;
  const asked = async () => (await front.sim.journal()).completions;
  const ask = (words, fields, init) => post(front.worker, phone, says(words, fields), init);
  const failure = async (words, fields) => {
    const response = await ask(words, fields);
    const { error } = await response.json();
    return { status: response.status, code: error.code, error };
  };

  before(async () => {
    front = await startAdminFront({ ...options, entries: [phone.entry, kept.entry] });
  });
  beforeEach(() => front.sim.reset());
  after(() => front?.stop());

  test("a request has limited rights, and nothing of the client's but the tools", async () => {
    const response = await ask(
      "call=get_weather",
      { temperature: 1, top_p: 0.5, metadata: { a: "b" }, n: 1, logit_bias: {} },
      { headers: { "x-openclaw-scopes": "operator.admin", "x-openclaw-model": "other" } },
    );
    assert.equal(response.headers.get("x-clawfront-ignored"), "logit_bias");
    const { choices } = await response.json();
    assert.equal(choices[0].message.tool_calls[0].function.name, "get_weather");
    const [{ headers, body, isOwner, sessionKey }] = await asked();
    assert.equal(headers["x-openclaw-scopes"], "operator.read,operator.write");
    assert.equal(headers["x-forwarded-user"], "key-tools");
    assert.equal(headers["x-openclaw-model"], undefined);
    assert.equal(isOwner, false);
    assert.match(sessionKey, /^agent:main:edge:tools:/);
    assert.deepEqual(Object.keys(body).sort(), [
      ...["messages", "model", "stream", "stream_options", "temperature", "tools", "top_p"],
    ]);
  });

  test("a file stands in the message there, too", async () => {
    const content = [{ type: "text", text: "hi [[fake deltas=1]]" }, fileOf("a.csv", "a,b")];
    const response = await ask("", { messages: [{ role: "user", content }] });
    assert.equal(response.status, 200, await response.text());
    const [{ body }] = await asked();
    assert.equal(body.messages.at(-1).content, `hi [[fake deltas=1]]\n${framed("a.csv", "a,b")}`);
  });

  test("bytes in any pieces are the same answer", async () => {
    const expected = "w0 w1 w2";
    for (const words of ["split=1", "split=3 crlf=1", "comment=3", "slice=1"]) {
      const stream = sdk(front.worker, phone).chat.completions.stream(
        says(`deltas=3 call=get_weather args={"city":"Zürich"} ${words}`),
      );
      const [{ message, finish_reason }] = (await stream.finalChatCompletion()).choices;
      assert.deepEqual([message.content, finish_reason], [expected, "tool_calls"], words);
      assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: "Zürich" });
    }
  });

  test("an answer that breaks off is an error, whole and streamed", async () => {
    for (const [words, code] of [
      ["deltas=3 drop=1", "gateway_connection_lost"],
      ["deltas=3 call=get_weather dropcall=1", "gateway_connection_lost"],
      ["deltas=3 nodone=1", "gateway_connection_lost"],
      ["deltas=3 nofinish=1", "gateway_protocol_error"],
      ["deltas=3 garbage=1", "gateway_protocol_error"],
    ]) {
      assert.equal((await failure(words)).code, code, words);
      const response = await ask(words, { stream: true });
      const text = await response.text();
      assert.ok(text.includes(`"code":"${code}"`), `${words}: ${text}`);
      assert.ok(!text.includes(`"finish_reason":"stop"`), words);
      assert.ok(!text.includes(`"finish_reason":"tool_calls"`), words);
    }
  });

  test("a refusal has a status, a cause for the operator, and starts nothing", async () => {
    for (const [http, status, code, cause] of [
      [401, 502, "gateway_refused", "http_endpoint_identity"],
      [404, 502, "gateway_refused", "http_endpoint_off"],
      [413, 413, "request_too_large"],
      [503, 503, "gateway_unavailable"],
    ]) {
      const refused = await failure(`http=${http}`);
      assert.deepEqual([refused.status, refused.code], [status, code]);
      const line = lines(front.worker).at(-1);
      if (cause) assert.equal(line.cause, cause);
    }
    assert.deepEqual((await front.sim.journal()).runs, []);
  });

  test("a client that leaves stops the run, and its key's policy can keep it", async () => {
    for (const [key, ended] of [
      [phone, "aborted"],
      [kept, "ok"],
    ]) {
      await front.sim.reset();
      const controller = new AbortController();
      const response = await post(
        front.worker,
        key,
        says("deltas=40 delay=25", { model: "openclaw/main", stream: true }),
        { signal: controller.signal },
      );
      await response.body.getReader().read();
      controller.abort();
      await until("the run has ended", async () => {
        const [run] = await asked();
        return run.ended !== "running";
      });
      assert.equal((await asked())[0].ended, ended, key.id);
    }
    const { usage_today } = await (await get(front.worker, kept, "/v1/key")).json();
    assert.deepEqual([usage_today.runs, usage_today.answers], [1, 1]);
  });

  test("a request that is sent again starts nothing", async () => {
    for (const headers of [{ "idempotency-key": "one" }, {}]) {
      await front.sim.reset();
      const body = says("deltas=3 stall=1", { user: `user-${Object.keys(headers).length}` });
      const first = post(front.worker, phone, body, { headers });
      await until("the run has begun", async () => (await asked())[0]?.ended === "running");
      const again = { ...headers, "x-stainless-retry-count": "1" };
      const second = await post(front.worker, phone, body, { headers: again });
      assert.equal(second.status, 409);
      assert.equal(second.headers.get("x-should-retry"), "false");
      assert.equal((await second.json()).error.code, "run_in_progress");
      await front.sim.resume();
      assert.equal((await first).status, 200);
      assert.equal((await asked()).length, 1);
    }
  });

  test("an administrator's stop, and the key's revocation, end run and stream", async () => {
    const tablet = await createKey(front, "tablet", { default_agent: "main", tools: "run" });
    const manage = (...call) => admin(front.worker, front.ops, ...call);
    for (const [stop, code] of [
      [(run) => manage("POST", `/runs/${run.id}/stop`), "run_aborted"],
      [() => manage("DELETE", "/keys/tablet"), "api_key_expired"],
    ]) {
      await front.sim.reset();
      const body = says("deltas=400 delay=25", { stream: true });
      const response = await post(front.worker, tablet, body);
      const run = await until("it runs", async () =>
        (await manage("GET", "/runs")).body.data.find(({ key }) => key === "tablet"),
      );
      assert.equal(run.can_be_stopped, true);
      await stop(run);
      assert.match(await response.text(), new RegExp(`"code":"${code}"`));
      await until("the run is stopped", async () => (await asked())[0].ended === "aborted");
    }
  });

  test("a function of a namespace is called by both names, and so is its earlier call", async () => {
    const add = { type: "function", name: "add", parameters: { type: "object" } };
    const respond = (input) =>
      fetch(`${front.worker.url}/v1/responses`, {
        method: "POST",
        headers: { authorization: `Bearer ${phone.key}`, "content-type": "application/json" },
        body: JSON.stringify({
          ...{ model: "openclaw", input, stream: true },
          tools: [{ type: "namespace", name: "mcp__demo", tools: [add] }],
        }),
      });
    const first = await respond("hi [[fake call=mcp__demo__add args={}]]");
    assert.equal(first.headers.get("x-clawfront-ignored"), null);
    const events = (await first.text()).split("\n").filter((line) => line.startsWith("data: {"));
    const items = events
      .map((line) => JSON.parse(line.slice("data: ".length)))
      .filter(({ type }) => type === "response.output_item.done")
      .map(({ item }) => item);
    const [call] = items.filter(({ type }) => type === "function_call");
    assert.deepEqual([call.namespace, call.name, call.arguments], ["mcp__demo", "add", "{}"]);
    const output = { type: "function_call_output", call_id: call.call_id, output: "3" };
    const question = { role: "user", content: "hi [[fake deltas=1]]" };
    const second = await respond([question, call, output]);
    assert.equal(second.status, 200, await second.text());
    const { messages } = (await asked()).at(-1).body;
    assert.match(JSON.stringify(messages), /name=mcp__demo__add/);
  });

  test("a response in the background cannot have them", async () => {
    const { status, error } = await sdk(front.worker, phone)
      .responses.create({
        ...{ model: "openclaw", input: "hi", background: true },
        tools: [{ type: "function", name: "f", parameters: {}, strict: false }],
      })
      .catch((reason) => reason);
    assert.deepEqual([status, error.param], [400, "background"]);
    assert.deepEqual(await asked(), []);
  });
});

test(
  "a hub that is killed loses the run, and no retry starts another",
  withKillable({ ...options, entries: [phone.entry] }, async (front) => {
    const body = says("deltas=400 delay=25", { stream: true });
    const response = await post(front.worker, phone, body);
    await response.body.getReader().read();
    const next = await front.kill(front.worker);
    const again = await post(next, phone, body, { headers: { "x-stainless-retry-count": "1" } });
    assert.equal(again.status, 409);
    assert.equal((await front.sim.journal()).completions.length, 1);
    await until("the run is stopped", async () => (await front.ends())[0] === "aborted");
    await until("it is counted once", async () => {
      const { usage_today, concurrent_runs } = await (await get(next, phone, "/v1/key")).json();
      return usage_today.runs === 1 && concurrent_runs.running === 0;
    });
  }),
);

test("without the setting a request with tools is refused, and protocol 3 gets none", async () => {
  for (const [start, param] of [
    [{}, /GATEWAY_HTTP/],
    [{ ...options, simArgs: [], protocol: 3 }, /version/],
  ]) {
    const front = await startFront({ ...start, entries: [phone.entry] });
    try {
      const response = await post(front.worker, phone, says("deltas=1"));
      const { error } = await response.json();
      assert.deepEqual([response.status, error.param], [400, "tools"]);
      assert.match(error.message, param);
    } finally {
      await front.stop();
    }
  }
});
