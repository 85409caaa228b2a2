// Tests `POST /v1/audio/speech`: the gateway's speech, and what a client gets without any.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { lines, newKey, sdk, startFront, until } from "./support/front.mjs";
import { lineOf, refused } from "./support/keys.mjs";

const ask = (worker, { key }, body, init = {}) =>
  fetch(`${worker.url}/v1/audio/speech`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });

describe("speech", () => {
  let front;
  const limited = newKey("limited", "beta", "--rpm", "2");
  const reader = newKey("reader", "main", "--scopes", "models,responses");
  const narrow = newKey("narrow", "main", "--runs", "1");
  before(async () => {
    front = await startFront({ entries: [limited.entry, reader.entry, narrow.entry] });
  });
  beforeEach(() => front.sim.reset());
  after(() => front?.stop());

  const spoken = async () =>
    (await front.sim.journal()).frames
      .filter(({ method }) => method === "tts.speak")
      .map(({ params }) => params);

  test("the official SDK gets the gateway's audio", async () => {
    const input = "Grüße, 世界! 👩‍🚀";
    const fields = { model: "gpt-4o-mini-tts", voice: "alloy", response_format: "wav", speed: 1.5 };
    const response = await sdk(front.worker, front.phone).audio.speech.create({
      input,
      ...fields,
      instructions: "Be calm.",
    });
    const header = (name) => response.headers.get(name);
    assert.equal(header("content-type"), "audio/mpeg");
    assert.equal(header("cache-control"), "no-store");
    assert.equal(
      header("x-clawfront-ignored"),
      "instructions, model, response_format, speed, voice",
    );
    assert.equal(Buffer.from(await response.arrayBuffer()).toString(), input);
    assert.deepEqual(await spoken(), [{ text: input }]);
    const { route, status, end, key } = await lineOf(front.worker, response);
    assert.deepEqual([route, status, end, key], ["/v1/audio/speech", 200, "ok", "phone"]);
    assert.ok(!JSON.stringify(lines(front.worker)).includes("Grüße"));
  });

  test("only what was sent is named", async () => {
    const response = await ask(front.worker, front.phone, {
      input: "hi",
      voice: null,
      stream_format: "audio",
      more: 1,
    });
    assert.deepEqual(
      [response.status, response.headers.get("x-clawfront-ignored"), await response.text()],
      [200, null, "hi"],
    );
  });

  test("a request without a text that can be spoken is 400", async () => {
    for (const [body, param] of [
      ["", null],
      ["[]", null],
      [{ model: "tts-1" }, "input"],
      [{ input: " \n" }, "input"],
      [{ input: 7 }, "input"],
      [{ input: "x".repeat(4097) }, "input"],
      [{ input: "hi", stream_format: "sse" }, "stream_format"],
    ]) {
      const response = await ask(front.worker, front.phone, body);
      const { error } = await response.json();
      assert.deepEqual(
        [response.status, error.type, error.param],
        [400, "invalid_request_error", param],
      );
    }
    assert.deepEqual(await spoken(), []);
  });

  test("a gateway that makes no audio is an error that no SDK repeats", async () => {
    for (const [word, reason] of [
      ["no-provider", "it has no TTS provider, or the provider failed"],
      ["untyped", "it sent no audio of a known type and of at most 8 MiB"],
      ["page", "it sent no audio of a known type and of at most 8 MiB"],
      ["large", "it sent no audio of a known type and of at most 8 MiB"],
      ["garbage", "it sent no audio of a known type and of at most 8 MiB"],
    ]) {
      const error = await sdk(front.worker, front.phone, { maxRetries: 2 })
        .audio.speech.create({ model: "tts-1", voice: "alloy", input: `[[speech ${word}]]` })
        .then(assert.fail, (error) => error);
      assert.deepEqual([error.status, error.code, error.type], [502, "speech_failed", "api_error"]);
      assert.match(error.message, new RegExp(reason), word);
    }
    assert.equal((await spoken()).length, 5);
  });

  test("a text that the gateway refuses is 400, and a busy gateway is 503", async () => {
    const long = await refused(await ask(front.worker, front.phone, { input: "[[speech long]]" }));
    assert.deepEqual([long.status, long.code], [400, "invalid_request"]);
    const busy = await refused(await ask(front.worker, front.phone, { input: "[[speech busy]]" }));
    assert.deepEqual(
      [busy.status, busy.code, busy.headers.get("retry-after")],
      [503, "gateway_unavailable", "2"],
    );
  });

  test("a request counts for its key, which needs the scope chat", async () => {
    const { worker } = front;
    const before = await ask(worker, limited, { input: "one" });
    assert.equal(before.headers.get("x-ratelimit-remaining-requests"), "1");
    assert.equal((await ask(worker, limited, { input: "" })).status, 400);
    const third = await refused(await ask(worker, limited, { input: "three" }));
    assert.deepEqual([third.status, third.code], [429, "rate_limit_exceeded"]);
    const scope = await refused(await ask(worker, reader, { input: "hi" }));
    assert.deepEqual([scope.status, scope.code], [403, "missing_scope"]);
    assert.equal((await ask(worker, { key: "x" }, { input: "hi" })).status, 401);
    assert.deepEqual(await spoken(), [{ text: "one" }]);
  });

  test("a request holds a place of its key until its end", async () => {
    const { worker, sim } = front;
    const silent = ask(worker, narrow, { input: "[[speech silent]]" });
    await until("it is asked for", async () => (await spoken()).length === 1);
    const second = await refused(await ask(worker, narrow, { input: "two" }));
    assert.deepEqual([second.status, second.code], [429, "concurrent_runs_exceeded"]);
    // The connection is lost, and so is the request.
    await sim.drop(1011);
    assert.deepEqual((await refused(await silent)).code, "gateway_closed");
    assert.equal(await (await ask(worker, narrow, { input: "three" })).text(), "three");
  });

  test("a key leaves as many requests free as it has", async () => {
    const { worker, sim, phone, guest } = front;
    const silent = Array.from({ length: 9 }, () =>
      ask(worker, phone, { input: "[[speech silent]]" }),
    );
    await until("eight are asked for", async () => (await spoken()).length === 8);
    assert.equal(await (await ask(worker, guest, { input: "hi" })).text(), "hi");
    await sim.drop(1011);
    const codes = await Promise.all(silent.map(async (one) => (await refused(await one)).code));
    assert.deepEqual(codes.sort(), [...Array(8).fill("gateway_closed"), "too_many_streams"]);
  });

  test("OpenAI's other endpoints are not there, and the error lists those that are", async () => {
    for (const path of [
      "/v1/audio/transcriptions",
      "/v1/audio/translations",
      "/v1/images/generations",
      "/v1/embeddings",
      "/v1/moderations",
    ]) {
      const response = await fetch(`${front.worker.url}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${front.phone.key}` },
        body: "{}",
      });
      const { status, code, text } = await refused(response);
      assert.deepEqual([status, code], [404, "unknown_url"]);
      assert.ok(text.includes("POST /v1/audio/speech"));
    }
  });
});

test("a gateway of protocol 3 has no speech", async () => {
  const front = await startFront({ protocol: 3 });
  try {
    const response = await ask(front.worker, front.phone, { input: "hi" });
    const { error } = await response.json();
    assert.deepEqual(
      [response.status, error.code, error.type],
      [400, "invalid_request", "invalid_request_error"],
    );
    assert.match(error.message, /version has no speech/);
  } finally {
    await front.stop();
  }
});
