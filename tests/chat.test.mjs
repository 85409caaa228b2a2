// The main job in workerd against the simulated gateway, on both protocols: the official SDK, and
// the bytes themselves.

import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import {
  beginnings,
  collect,
  lines,
  post,
  says,
  sdk,
  startFront,
  unframed,
  until,
} from "./support/front.mjs";

const words = (count) => Array.from({ length: count }, (_, index) => `w${index}`).join(" ");

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

    test("a request keeps its client's name for it, in every answer and in the log", async () => {
      const headers = { "x-request-id": "trace:7f3c.a_b-1" };
      for (const [body, status] of [
        [says("hi [[fake deltas=1]]"), 200],
        [says("hi [[fake deltas=1]]", { stream: true }), 200],
        [says("hi", { n: 2 }), 400],
      ]) {
        const response = await post(front.worker, front.phone, body, { headers });
        const answer = await response.text();
        assert.deepEqual(
          [response.status, response.headers.get("x-request-id")],
          [status, headers["x-request-id"]],
        );
        assert.match(response.headers.get("openai-processing-ms"), /^\d+$/);
        assert.ok(
          !answer.includes("7f3c"),
          "two completions never have one id, whatever their clients call the requests",
        );
      }
      await until(
        "three lines have it",
        () =>
          lines(front.worker).filter((line) => line.request_id === headers["x-request-id"])
            .length === 3,
      );
      for (const odd of ["a b", "x".repeat(129), "{}", "caf\u00e9", front.phone.key]) {
        const response = await post(front.worker, front.phone, says("hi", { n: 2 }), {
          headers: { "x-request-id": odd },
        });
        assert.match(response.headers.get("x-request-id"), /^[0-9a-f]{32}$/);
        await response.text();
      }
      for (const path of ["/", "/healthz", "/v1/nothing", "/v1/models", "/v1/key"]) {
        const response = await fetch(`${front.worker.url}${path}`, {
          headers: { ...headers, authorization: `Bearer ${front.phone.key}` },
        });
        await response.text();
        assert.equal(response.headers.get("x-request-id"), headers["x-request-id"], path);
        assert.match(response.headers.get("openai-processing-ms"), /^\d+$/, path);
      }
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

    test("the forms that clients send are all understood", async () => {
      const messages = [
        { role: "system", content: [{ type: "text", text: "be brief" }] },
        { role: "user", content: "weather?", name: "anna" },
        {
          role: "assistant",
          content: null,
          tool_calls: [
            { id: "call_1", type: "function", function: { name: "get_weather", arguments: "{}" } },
          ],
        },
        { role: "tool", tool_call_id: "call_1", content: "sunny" },
        { role: "assistant", tool_calls: null, content: [{ type: "refusal", refusal: "no" }] },
        { role: "user", content: [{ type: "input_text", text: "and now? [[fake echo=1]]" }] },
      ];
      const nothing = {
        stream: null,
        stream_options: null,
        user: "",
        n: null,
        logprobs: null,
        modalities: null,
        audio: null,
        max_tokens: 5,
        x_unknown: [{}],
      };
      for (const path of [
        "/v1/chat/completions",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
      ]) {
        const response = await fetch(`${front.worker.url}${path}`, {
          method: "POST",
          headers: { authorization: `bearer ${front.phone.key}` },
          body: JSON.stringify({ model: "openclaw", messages, ...nothing }),
        });
        assert.equal(response.headers.get("x-clawfront-ignored"), "max_tokens");
        const given = JSON.parse((await response.json()).choices[0].message.content);
        assert.equal(unframed(given.extraSystemPrompt), "be brief");
        assert.equal(
          given.message,
          "[Chat messages since your last reply - for context]\nUser (anna): weather?\nAssistant: tool_call id=call_1 name=get_weather arguments={}\n" +
            "Tool:call_1: sunny\nAssistant: no\n\n[Current message - respond to this]\nUser: and now? [[fake echo=1]]",
        );
      }
    });

    test("HEAD has the head of GET and no body", async () => {
      for (const path of ["/", "/v1", "/healthz", "/v1/models", "/v1/models/main", "/v1/key"]) {
        const ask = (method) =>
          fetch(`${front.worker.url}${path}`, {
            method,
            headers: { authorization: `Bearer ${front.phone.key}` },
          });
        const [get, head] = [await ask("GET"), await ask("HEAD")];
        assert.deepEqual(
          [head.status, head.headers.get("content-type"), await head.text()],
          [200, get.headers.get("content-type"), ""],
          path,
        );
        await get.text();
      }
    });

    test("a client that asks before it sends its body is answered", async () => {
      const body = JSON.stringify(says("hi [[fake deltas=1]]"));
      const { status, answer } = await new Promise((resolve, reject) => {
        const sent = request(`${front.worker.url}/v1/chat/completions`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${front.phone.key}`,
            expect: "100-continue",
            "content-length": Buffer.byteLength(body),
          },
        });
        // curl waits a second for the go-ahead, and then sends the body without.
        const send = setTimeout(() => sent.end(body), 1000);
        sent.on("continue", () => {
          clearTimeout(send);
          sent.end(body);
        });
        sent.on("response", (response) => {
          let answer = "";
          response.setEncoding("utf8").on("data", (text) => (answer += text));
          response.on("end", () => resolve({ status: response.statusCode, answer }));
        });
        sent.on("error", reject);
        sent.flushHeaders();
      });
      assert.equal(status, 200, answer);
      assert.equal(JSON.parse(answer).choices[0].message.content, "w0");
    });

    test("text arrives while the run goes on, and multi-byte text arrives whole", async () => {
      const text = "Grüße, 世界! 👩‍🚀 ".repeat(20);
      const directive = `[[fake text=${Buffer.from(text).toString("base64url")} delay=10]]`;
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
          const told = says(`hi [[fake delay=0 text=${Buffer.from(text).toString("base64url")}]]`, {
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
          const directive = `[[fake text=${Buffer.from(text).toString("base64url")} delay=5]]`;
          const stream = await sdk(
            front.worker,
            index % 2 ? front.phone : front.boss,
          ).chat.completions.create(says(directive, { stream: true, model: "openclaw/main" }));
          return (await collect(stream)).text === text;
        }),
      );
      assert.deepEqual(answers, Array(50).fill(true));
    });

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

    test("reasoning is sent on request, apart from the answer", async () => {
      const body = (stream) => says("hi [[fake reasoning=4 deltas=3]]", { stream });
      const headers = { "x-clawfront-reasoning": "on" };
      const whole = async (headers) =>
        (await (await post(front.worker, front.phone, body(false), { headers })).json()).choices[0]
          .message;
      const streamed = await (
        await post(front.worker, front.phone, body(true), { headers })
      ).text();
      const deltas = streamed
        .split("\n\n")
        .filter((event) => event.startsWith("data: {"))
        .map((event) => JSON.parse(event.slice("data: ".length)).choices[0].delta);
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

    test("a client that leaves stops its run, and the gateway's socket is closed", async () => {
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
      const run = await until(`the socket is closed and the run is ${ending}`, async () => {
        const { open_connections, runs } = await front.sim.journal();
        return open_connections === 0 && runs[0].ended === ending && runs[0];
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
