// Tests the forms of requests that the Worker accepts, on both protocols.

import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import { lines, post, says, startFront, unframed, until } from "../support/front.mjs";

for (const protocol of [4, 3]) {
  describe(`requests of chat completions, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());

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
  });
}
