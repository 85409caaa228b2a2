// What a request becomes at the gateway: agent, session, prompt, attachments, and the frames themselves.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey, post, says, startFront } from "./support/front.mjs";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

for (const protocol of [4, 3]) {
  describe(`turns, protocol ${protocol}`, () => {
    let front;
    const toolless = newKey("toolless", "main", "--tools", "refuse");
    before(async () => (front = await startFront({ protocol, simArgs: ["--default-agent", "main"], entries: [toolless.entry] })));
    after(() => front.stop());

    /** What the agent was given for a request, as the simulated gateway received it. */
    async function received(key, body, headers) {
      const response = await post(front.worker, key, body, { headers });
      assert.equal(response.status, 200, await response.clone().text());
      return JSON.parse((await response.json()).choices[0].message.content);
    }
    const echo = says("[[fake echo=1]]");

    test("the frames hold what the protocols' closed schemas take, and nothing of the client's choosing beyond that", async () => {
      await front.sim.reset();
      await received(front.phone, { ...echo, deliver: true, cwd: "/", internal: 1, provider: "x" });
      const { frames, upgrades } = await front.sim.journal();
      assert.deepEqual(
        frames.map(({ method }) => method),
        protocol === 4 ? ["connect", "sessions.messages.subscribe", "agent"] : ["connect", "agent"],
      );
      const connect = frames[0].params;
      assert.deepEqual([connect.minProtocol, connect.maxProtocol, connect.role], [3, 4, "operator"]);
      assert.deepEqual(connect.scopes, ["operator.read", "operator.write"]);
      assert.deepEqual([connect.client.id, connect.client.mode, connect.client.platform], ["gateway-client", "backend", "cloudflare-workers"]);
      assert.deepEqual(Object.keys(connect.device).sort(), ["id", "nonce", "publicKey", "signature", "signedAt"]);
      const agent = frames.at(-1).params;
      assert.deepEqual(Object.keys(agent).sort(), ["agentId", "idempotencyKey", "message", "sessionKey"]);
      assert.match(agent.idempotencyKey, /^[0-9a-f]{32}$/);
      assert.ok(!("origin" in upgrades[0].headers));
    });

    test("a trace reaches the gateway that can take it", async () => {
      await front.sim.reset();
      const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
      await received(front.phone, echo, { traceparent });
      await received(front.phone, echo, { traceparent: `${traceparent}-x` });
      const agents = (await front.sim.journal()).frames.filter(({ method }) => method === "agent");
      assert.deepEqual(agents.map((frame) => frame.traceparent), [protocol === 4 ? traceparent : undefined, undefined]);
    });

    test("the form of an answer is told to the agent, and tools are not", async () => {
      const schema = { type: "object", properties: { city: { type: "string" } } };
      const format = { type: "json_schema", json_schema: { name: "place", strict: true, schema } };
      const told = await received(front.phone, { ...echo, response_format: format, tools: [{ type: "function", function: { name: "secret_tool" } }] });
      assert.match(told.extraSystemPrompt, /^Answer with one JSON value/);
      assert.ok(told.extraSystemPrompt.endsWith(JSON.stringify(schema)));
      assert.ok(!JSON.stringify(told).includes("secret_tool"));
      const response = await post(front.worker, front.phone, { ...echo, response_format: format, tools: [{}], tool_choice: "auto" });
      assert.equal(response.headers.get("x-clawfront-ignored"), "response_format.json_schema.strict, tool_choice, tools");
      for (const [key, fields, param] of [
        [front.phone, { tool_choice: "required", tools: [{}] }, "tool_choice"],
        [front.phone, { response_format: { type: "grammar" } }, "response_format"],
        [toolless, { tools: [{}] }, "tools"],
      ]) {
        const refused = await post(front.worker, key, { ...echo, ...fields });
        assert.equal(refused.status, 400);
        assert.equal((await refused.json()).error.param, param);
      }
    });

    test("model and header choose the agent, the header first", async () => {
      const agent = async (key, model, header) => (await received(key, { ...echo, model }, header && { "x-openclaw-agent-id": header })).agentId;
      assert.equal(await agent(front.phone, "openclaw"), "main");
      assert.equal(await agent(front.phone, "openclaw/default"), "main");
      assert.equal(await agent(front.phone, "openclaw:beta"), "beta");
      assert.equal(await agent(front.phone, "Agent:BETA"), "beta");
      assert.equal(await agent(front.phone, "openclaw/main", "beta"), "beta");
      assert.equal(await agent(front.guest, "openclaw"), "beta");
      // No default of its own: the gateway's.
      assert.equal(await agent(front.boss, "openclaw"), "main");
      assert.equal(await agent(front.boss, "openclaw/secret"), "secret");
    });

    test("an agent that is not the key's and one that does not exist are the same to a caller", async () => {
      const answers = [];
      for (const [key, model] of [
        [front.phone, "openclaw/secret"],
        [front.phone, "openclaw/nope"],
        [front.boss, "openclaw/nope"],
        [front.boss, "gpt-5"],
      ]) {
        const response = await post(front.worker, key, { ...echo, model });
        answers.push(`${response.status} ${await response.text()}`);
      }
      assert.equal(new Set(answers).size, 1, answers.join("\n"));
      assert.match(answers[0], /^404 .*"param":"model","code":"model_not_found"/);
    });

    test("sessions: fresh, of the user, named, and raw where the key allows it", async () => {
      const session = async (key, body = {}, header) =>
        (await received(key, { ...echo, ...body }, header && { "x-openclaw-session-key": header })).sessionKey;
      const fresh = [await session(front.phone), await session(front.phone)];
      for (const key of fresh) assert.match(key, /^agent:main:edge:phone:run:[0-9a-f]{32}$/);
      assert.notEqual(fresh[0], fresh[1]);
      assert.equal(await session(front.phone, { user: "alice" }), "agent:main:edge:phone:user:=alice");
      assert.equal(await session(front.phone, { user: "alice" }, "trip"), "agent:main:edge:phone:key:=trip");
      assert.match(await session(front.phone, {}, "agent:main:main"), /^agent:main:edge:phone:key:~[0-9a-f]{64}$/);
      assert.equal(await session(front.boss, {}, "agent:beta:Team"), "agent:beta:team");
      assert.equal(await session(front.boss, { model: "openclaw/main" }, "main"), "agent:main:main");
      for (const [key, header] of [
        [front.phone, "cron:nightly"],
        [front.boss, "agent:main:subagent:x"],
        [front.boss, "agent:main"],
      ]) {
        const response = await post(front.worker, key, echo, { headers: { "x-openclaw-session-key": header } });
        assert.equal(response.status, 400);
        assert.equal((await response.json()).error.param, "x-openclaw-session-key");
      }
    });

    test("a new session is told the conversation, a stable one only what is new", async () => {
      const messages = [
        { role: "system", content: "be brief" },
        { role: "user", content: "q1" },
        { role: "assistant", content: "a1" },
        { role: "developer", content: [{ type: "text", text: "no jokes" }] },
        { role: "user", content: "q2 [[fake echo=1]]" },
      ];
      const fresh = await received(front.phone, { messages });
      assert.equal(
        fresh.message,
        "[Chat messages since your last reply - for context]\nUser: q1\nAssistant: a1\n\n[Current message - respond to this]\nUser: q2 [[fake echo=1]]",
      );
      assert.equal(fresh.extraSystemPrompt, "be brief\n\nno jokes");
      const stable = await received(front.phone, { messages, user: "alice" });
      assert.equal(stable.message, "q2 [[fake echo=1]]");
      assert.equal(stable.extraSystemPrompt, "be brief\n\nno jokes");
    });

    test("images of the last turn are attached", async () => {
      const given = await received(front.phone, {
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "what is this? [[fake echo=1]]" },
              { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } },
            ],
          },
        ],
      });
      assert.equal(given.attachmentCount, 1);
      assert.equal(given.attachments[0].mimeType ?? given.attachments[0].mime, "image/png");
      assert.equal(given.attachments[0].bytes, Buffer.from(PNG, "base64").length);
    });
  });
}
