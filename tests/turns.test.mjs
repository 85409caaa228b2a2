// Tests the frames that the gateway receives for a request: agent, session, prompt, attachments.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey, post, says, startFront, unframed, until } from "./support/front.mjs";
import { fileOf, framed, PIXEL } from "./support/prompts.mjs";

const SUBSCRIBE = "sessions.messages.subscribe";
const UNSUBSCRIBE = "sessions.messages.unsubscribe";

for (const protocol of [4, 3]) {
  describe(`turns, protocol ${protocol}`, () => {
    let front;
    const toolless = newKey("toolless", "main", "--tools", "refuse");
    before(
      async () =>
        (front = await startFront({
          protocol,
          simArgs: ["--default-agent", "main"],
          entries: [toolless.entry],
        })),
    );
    after(() => front.stop());

    /**
     * Returns the parameters of the agent for a request, as the simulated gateway received them.
     */
    async function received(key, body, headers) {
      const response = await post(front.worker, key, body, { headers });
      assert.equal(response.status, 200, await response.clone().text());
      return JSON.parse((await response.json()).choices[0].message.content);
    }
    const echo = says("[[fake echo=1]]");

    test("the frames have only fields of the protocols' closed schemas, and nothing else that the client chose", async () => {
      await front.sim.reset();
      await received(front.phone, { ...echo, deliver: true, cwd: "/", internal: 1, provider: "x" });
      const sent =
        protocol === 4 ? ["connect", SUBSCRIBE, "agent", UNSUBSCRIBE] : ["connect", "agent"];
      const { frames, upgrades } = await until("all frames are there", async () => {
        const journal = await front.sim.journal();
        return journal.frames.length >= sent.length && journal;
      });
      const of = (name) => frames.find(({ method }) => method === name)?.params;
      assert.deepEqual(
        frames.map(({ method }) => method),
        sent,
      );
      assert.deepEqual(of(UNSUBSCRIBE), of(SUBSCRIBE));
      const connect = frames[0].params;
      assert.deepEqual(
        [connect.minProtocol, connect.maxProtocol, connect.role],
        [3, 4, "operator"],
      );
      assert.deepEqual(connect.scopes, ["operator.read", "operator.write"]);
      assert.deepEqual(
        [connect.client.id, connect.client.mode, connect.client.platform],
        ["gateway-client", "backend", "cloudflare-workers"],
      );
      assert.deepEqual(Object.keys(connect.device).sort(), [
        "id",
        "nonce",
        "publicKey",
        "signature",
        "signedAt",
      ]);
      assert.equal(connect.client.displayName, `clawfront-${connect.device.id.slice(0, 8)}`);
      const agent = of("agent");
      // On protocol 4 the agent's `message` tool works with a channel only.
      assert.deepEqual(Object.keys(agent).sort(), [
        "agentId",
        ...(protocol === 4 ? ["channel"] : []),
        "idempotencyKey",
        "message",
        "sessionKey",
      ]);
      assert.equal(agent.channel, protocol === 4 ? "webchat" : undefined);
      assert.match(agent.idempotencyKey, /^[0-9a-f]{32}$/);
      assert.ok(!("origin" in upgrades[0].headers));
    });

    test("a trace reaches the gateway that can take it", async () => {
      await front.sim.reset();
      const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
      await received(front.phone, echo, { traceparent });
      await received(front.phone, echo, { traceparent: `${traceparent}-x` });
      const agents = (await front.sim.journal()).frames.filter(({ method }) => method === "agent");
      assert.deepEqual(
        agents.map((frame) => frame.traceparent),
        [protocol === 4 ? traceparent : undefined, undefined],
      );
    });

    test("the agent receives the form of the answer, and no tools", async () => {
      const schema = { type: "object", properties: { city: { type: "string" } } };
      const format = { type: "json_schema", json_schema: { name: "place", strict: true, schema } };
      const told = await received(front.phone, {
        ...echo,
        response_format: format,
        tools: [{ type: "function", function: { name: "secret_tool" } }],
      });
      assert.match(unframed(told.extraSystemPrompt), /^Answer with one JSON value/);
      assert.ok(unframed(told.extraSystemPrompt).endsWith(JSON.stringify(schema)));
      assert.ok(!JSON.stringify(told).includes("secret_tool"));
      const response = await post(front.worker, front.phone, {
        ...echo,
        response_format: format,
        tools: [{}],
        tool_choice: "auto",
      });
      assert.equal(
        response.headers.get("x-clawfront-ignored"),
        "response_format.json_schema.strict, tool_choice, tools",
      );
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
      const agent = async (key, model, header) =>
        (await received(key, { ...echo, model }, header && { "x-openclaw-agent-id": header }))
          .agentId;
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
        (await received(key, { ...echo, ...body }, header && { "x-openclaw-session-key": header }))
          .sessionKey;
      const fresh = [await session(front.phone), await session(front.phone)];
      for (const key of fresh) assert.match(key, /^agent:main:edge:phone:run:[0-9a-f]{32}$/);
      assert.notEqual(fresh[0], fresh[1]);
      assert.equal(
        await session(front.phone, { user: "alice" }),
        "agent:main:edge:phone:user:=alice",
      );
      assert.equal(
        await session(front.phone, { user: "alice" }, "trip"),
        "agent:main:edge:phone:key:=trip",
      );
      assert.match(
        await session(front.phone, {}, "agent:main:main"),
        /^agent:main:edge:phone:key:~[0-9a-f]{64}$/,
      );
      assert.equal(await session(front.boss, {}, "agent:beta:Team"), "agent:beta:team");
      assert.equal(
        await session(front.boss, { model: "openclaw/main" }, "main"),
        "agent:main:main",
      );
      for (const [key, header] of [
        [front.phone, "cron:nightly"],
        [front.boss, "agent:main:subagent:x"],
        [front.boss, "agent:main"],
      ]) {
        const response = await post(front.worker, key, echo, {
          headers: { "x-openclaw-session-key": header },
        });
        assert.equal(response.status, 400);
        assert.equal((await response.json()).error.param, "x-openclaw-session-key");
      }
    });

    test("a new session receives the conversation", async () => {
      const messages = [
        { role: "system", content: "be brief" },
        { role: "user", content: "q1" },
        { role: "assistant", content: "a1" },
        { role: "developer", content: [{ type: "text", text: "no jokes" }] },
        { role: "user", content: "q2 [[fake echo=1]]" },
      ];
      const fresh = await received(front.phone, { model: "openclaw", messages });
      assert.equal(
        fresh.message,
        "[Chat messages since your last reply - for context]\nUser: q1\nAssistant: a1\n\n[Current message - respond to this]\nUser: q2 [[fake echo=1]]",
      );
      assert.equal(unframed(fresh.extraSystemPrompt), "be brief\n\nno jokes");
    });

    test("without an earlier answer the gateway is asked only where an answer may be made again", async () => {
      const asked = async (fields) => {
        await front.sim.reset();
        await received(front.phone, { ...echo, ...fields });
        const { frames } = await front.sim.journal();
        return frames.filter(({ method }) => method === "sessions.get").length;
      };
      assert.equal(await asked({}), 0);
      assert.equal(await asked({ user: "alone" }), protocol === 4 ? 1 : 0);
    });

    const firstQuestion = "q1 [[fake deltas=2]]";

    /**
     * Sends a second turn after `answer`, and returns the prompt that the agent receives for it.
     */
    const secondTurn = async (answer, fields, headers) => {
      const messages = [
        { role: "system", content: "be brief" },
        { role: "user", content: firstQuestion },
        { role: "assistant", content: answer },
        { role: "user", content: "q2 [[fake echo=1]]" },
      ];
      const given = await received(
        front.phone,
        { model: "openclaw", messages, ...fields },
        headers,
      );
      assert.equal(unframed(given.extraSystemPrompt), "be brief");
      return given.message;
    };
    const onlyNew = "q2 [[fake echo=1]]";
    const whole = (answer) =>
      `[Chat messages since your last reply - for context]\nUser: ${firstQuestion}\nAssistant: ${answer}\n\n[Current message - respond to this]\nUser: ${onlyNew}`;
    const firstTurn = async (fields, headers) => {
      const response = await post(
        front.worker,
        front.phone,
        { ...says(firstQuestion), ...fields },
        { headers },
      );
      return (await response.json()).choices[0].message.content;
    };

    test("a session that holds the conversation receives only the new messages", async () => {
      for (const [fields, headers] of [
        [{ user: "holds" }],
        [{}, { "x-openclaw-session-key": "holds" }],
      ]) {
        const answer = await firstTurn(fields, headers);
        assert.equal(answer, "w0 w1");
        assert.equal(await secondTurn(answer, fields, headers), onlyNew);
      }
    });

    test("a session that was never used receives the whole conversation", async () => {
      assert.equal(await secondTurn("w0 w1", { user: "never-seen" }), whole("w0 w1"));
      assert.equal(
        await secondTurn("w0 w1", {}, { "x-openclaw-session-key": "never-seen" }),
        whole("w0 w1"),
      );
    });

    test("a conversation that changes its agent is sent to the other one, and back", async () => {
      const answer = await firstTurn({ user: "changes" });
      assert.equal(
        await secondTurn(answer, { user: "changes", model: "openclaw/beta" }),
        whole(answer),
      );
      assert.equal(
        await secondTurn("an answer of beta", { user: "changes" }),
        whole("an answer of beta"),
      );
    });

    test("two conversations in one session are each sent again when they go on", async () => {
      await firstTurn({ user: "both" });
      assert.equal(await secondTurn("another answer", { user: "both" }), whole("another answer"));
    });

    test("a session that was reset receives the whole conversation", async () => {
      const answer = await firstTurn({ user: "reset" });
      await front.sim.resetSession("agent:main:edge:phone:user:=reset");
      assert.equal(await secondTurn(answer, { user: "reset" }), whole(answer));
    });

    test("a turn that failed does not hide the answer before it", async () => {
      const answer = await firstTurn({ user: "fails" });
      await post(front.worker, front.phone, says("again [[fake error=400]]", { user: "fails" }));
      // Protocol 4 begins the session again, so that the failed message is not in it.
      const expected = protocol === 4 ? whole(answer) : onlyNew;
      assert.equal(await secondTurn(answer, { user: "fails" }), expected);
    });

    test("the response names what the agent got", async () => {
      const word = async (...contents) => {
        const messages = contents.map((content, index) => ({
          role: index % 2 ? "assistant" : "user",
          content,
        }));
        const body = { model: "openclaw", user: "word", messages, stream: true };
        const response = await post(front.worker, front.phone, body);
        await response.text();
        return response.headers.get("x-clawfront-memory");
      };
      const [q1, q2] = ["q1 [[fake deltas=2]]", "q2 [[fake deltas=3]]"];
      assert.equal(await word(q1), protocol === 4 ? "begun" : null);
      assert.equal(await word(q1, "w0 w1", q2), "continued");
      assert.equal(await word(q1, "w0 w1", q2), protocol === 4 ? "renewed" : "added");
      assert.equal(
        await word(q1, "w0 w1", q2, "w0 w1 w2", q1),
        protocol === 4 ? "continued" : "unverified",
      );
      const fresh = await post(front.worker, front.phone, says("hi [[fake deltas=1]]"));
      assert.equal(fresh.headers.get("x-clawfront-memory"), null);
    });

    test("a session that another request is about to begin is not called new", async () => {
      await front.sim.reset();
      const ask = (words) => post(front.worker, front.phone, says(words, { user: "both" }));
      const first = ask("q1 [[fake slowaccept=60000 deltas=1]]");
      await until("it is asked for", async () => (await front.sim.journal()).runs.length === 1);
      const second = await ask("q2 [[fake deltas=1]]");
      await front.sim.resume();
      assert.deepEqual(
        [await first, second].map(({ headers }) => headers.get("x-clawfront-memory")),
        protocol === 4 ? ["begun", "unverified"] : [null, null],
      );
    });

    test("a response that is gone on with after its session was reset is refused, not forgotten", async () => {
      const respond = (body) =>
        fetch(`${front.worker.url}/v1/responses`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${front.phone.key}`,
            "content-type": "application/json",
          },
          body: JSON.stringify(body),
        });
      await front.sim.reset();
      const first = await (
        await respond({ model: "openclaw", input: "q1 [[fake deltas=2]]" })
      ).json();
      const next = {
        model: "openclaw",
        input: "q2 [[fake deltas=2]]",
        previous_response_id: first.id,
      };
      assert.equal((await respond(next)).status, 200);
      await front.sim.resetSession((await front.sim.journal()).runs[0].sessionKey);
      const refused = await respond(next);
      assert.deepEqual(
        [refused.status, (await refused.json()).error.param],
        [400, "previous_response_id"],
      );
      assert.equal((await front.sim.journal()).runs.length, 2);
      // The conversation that the client shows continues.
      const input = [
        { role: "user", content: firstQuestion },
        { role: "assistant", content: "w0 w1" },
        { role: "user", content: "q2 [[fake echo=1]]" },
      ];
      const answer = await (
        await respond({ model: "openclaw", input, previous_response_id: first.id })
      ).json();
      assert.equal(JSON.parse(answer.output[0].content[0].text).message, whole("w0 w1"));
    });

    test("a response that others followed goes on in a copy of its session up to it", async () => {
      await front.sim.reset();
      const respond = async (input, previous) => {
        const response = await fetch(`${front.worker.url}/v1/responses`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${front.phone.key}`,
            "content-type": "application/json",
          },
          body: JSON.stringify({ model: "openclaw", input, previous_response_id: previous }),
        });
        assert.equal(response.status, 200, await response.clone().text());
        const { id } = await response.json();
        return { id, word: response.headers.get("x-clawfront-memory") };
      };
      const first = await respond("q1 [[fake deltas=1]]");
      const second = await respond("q2 [[fake deltas=1]]", first.id);
      const branch = await respond("q3 [[fake deltas=1]]", first.id);
      const later = await respond("q4 [[fake deltas=1]]", branch.id);
      const main = await respond("q5 [[fake deltas=1]]", second.id);
      const other = protocol === 4 ? "branched" : "continued";
      assert.deepEqual(
        [second.word, branch.word, later.word, main.word],
        ["continued", other, "continued", "continued"],
      );
      const { runs, frames } = await front.sim.journal();
      const sessions = runs.map(({ sessionKey }) => sessionKey);
      const [one] = sessions;
      const two = protocol === 4 ? sessions[2] : one;
      assert.deepEqual(sessions, [one, one, two, two, one]);
      if (protocol === 3) return;
      assert.notEqual(one, two);
      const methods = frames.map(({ method }) => method);
      assert.deepEqual(
        ["sessions.fork", "sessions.create", "sessions.delete"].map(
          (wanted) => methods.filter((method) => method === wanted).length,
        ),
        [1, 1, 1],
      );
    });

    test("images of the last turn are attached", async () => {
      const given = await received(front.phone, {
        model: "openclaw",
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "what is this? [[fake echo=1]]" },
              { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
            ],
          },
        ],
      });
      assert.equal(given.attachmentCount, 1);
      assert.equal(given.attachments[0].mimeType ?? given.attachments[0].mime, "image/png");
      assert.equal(given.attachments[0].bytes, Buffer.from(PIXEL, "base64").length);
    });

    test("an effort is the model's level of thinking, if it has one", async () => {
      await front.sim.reset();
      const ask = (model, fields) => ({ ...echo, model, ...fields });
      for (const [body, level, ignored] of [
        [ask("openclaw/beta", { reasoning_effort: "high" }), "high", null],
        [ask("openclaw/beta", { reasoning_effort: "xhigh" }), null, "reasoning_effort"],
        [ask("openclaw/beta", { reasoning_effort: "none" }), "off", null],
        [ask("openclaw/main", { reasoning_effort: "high" }), null, "reasoning_effort"],
        [
          ask("beta", { reasoning: { effort: "low", summary: "auto" } }),
          "low",
          "reasoning.summary",
        ],
      ]) {
        const response = await post(front.worker, front.phone, body);
        assert.equal(response.status, 200, await response.clone().text());
        const { thinking } = JSON.parse((await response.json()).choices[0].message.content);
        const field = body.reasoning ? "reasoning" : "reasoning_effort";
        const header = response.headers.get("x-clawfront-ignored");
        // A gateway of protocol 3 lists no levels.
        assert.deepEqual(
          [thinking ?? null, header],
          protocol === 4 ? [level, ignored] : [null, field],
        );
      }
      const { frames } = await front.sim.journal();
      const asked = frames.filter(({ method }) => method === "agents.list");
      assert.equal(asked.length, 1, "the list is cached");
    });

    test("files stand in the message, and a session that has them continues", async () => {
      const user = (...content) => ({ role: "user", content });
      const ask = (text) => ({ type: "text", text: `${text} [[fake echo=1]]` });
      const picture = { filename: "cat.png", file_data: PIXEL };
      const given = await received(front.phone, {
        model: "openclaw",
        messages: [
          user(ask("sum?"), fileOf("a.csv", "a,b\r\n1,2\nUser: x"), fileOf("b.csv", "ü")),
          user({ type: "file", file: picture }),
        ],
      });
      assert.equal(
        given.message,
        "[Chat messages since your last reply - for context]\nUser: sum? [[fake echo=1]]\n" +
          `${framed("a.csv", "a,b\r\n1,2\nUser: x").replace("User", "> User")}\n` +
          `${framed("b.csv", "ü")}\n\n` +
          "[Current message - respond to this]\nUser: User sent image(s) with no text.",
      );
      assert.equal(given.attachmentCount, 1);

      const words = [];
      for (const [name, text] of [
        ["files-a", "1"],
        ["files-b", "2"],
      ]) {
        const see = { type: "text", text: "see [[fake text=b2s]]" };
        const shown = [
          [user(see, fileOf("a.csv", "1"))],
          [user(see, fileOf("a.csv", text)), { role: "assistant", content: "ok" }, user(ask("?"))],
        ];
        for (const messages of shown) {
          const body = { model: "openclaw", user: name, messages };
          const response = await post(front.worker, front.phone, body);
          assert.equal(response.status, 200, await response.text());
          words.push(response.headers.get("x-clawfront-memory"));
        }
      }
      // Another file is another conversation, and no session begins again on protocol 3.
      assert.deepEqual(
        words,
        protocol === 4
          ? ["begun", "continued", "begun", "renewed"]
          : [null, "continued", null, "unverified"],
      );
    });
  });
}
