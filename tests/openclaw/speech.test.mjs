// The speech of a real OpenClaw gateway; only the provider of its voice is a stand-in.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { newKey, sdk } from "../support/front.mjs";
import { protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";

const phone = newKey("phone", "main,beta", "--default", "main");

const speak = (worker, input) =>
  sdk(worker, phone).audio.speech.create({ model: "tts-1", voice: "alloy", input });

test(`a gateway without a provider, OpenClaw ${version}`, async () => {
  const front = await sharedFront({ entries: [phone.entry] });
  try {
    const error = await speak(front.worker, "Hello.").then(assert.fail, (error) => error);
    assert.deepEqual(
      [error.status, error.code, error.type],
      protocol === 4
        ? [502, "speech_failed", "api_error"]
        : [400, "invalid_request", "invalid_request_error"],
    );
  } finally {
    await front.stop();
  }
});

describe(`a gateway with a provider, OpenClaw ${version}`, { skip: protocol === 3 }, () => {
  const AUDIO = Buffer.from("ID3 a stand-in for music");
  /** The bodies of the provider's requests. */
  const asked = [];
  let isDown = false;
  let provider, front;
  before(async () => {
    provider = createServer(async (request, response) => {
      asked.push(JSON.parse(Buffer.concat(await request.toArray())));
      if (isDown) return response.writeHead(400).end("{}");
      response.writeHead(200, { "content-type": "audio/mpeg" }).end(AUDIO);
    });
    provider.listen(0, "127.0.0.1");
    await once(provider, "listening");
    const baseUrl = `http://127.0.0.1:${provider.address().port}/v1`;
    const openai = { apiKey: "unused", baseUrl, model: "tts-1", speakerVoice: "nova" };
    front = await startOpenClawFront({
      entries: [phone.entry],
      warm: false,
      settings: { tts: { provider: "openai", maxTextLength: 100, providers: { openai } } },
    });
  });
  after(async () => {
    await front?.stop();
    provider.close();
  });

  test("its audio reaches the official SDK, in the gateway's own voice", async () => {
    const response = await speak(front.worker, "Hello, 世界.");
    assert.equal(response.headers.get("content-type"), "audio/mpeg");
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), AUDIO);
    const [{ input, voice }] = asked;
    assert.deepEqual([asked.length, input, voice], [1, "Hello, 世界.", "nova"]);
  });

  test("a text that it refuses is 400, and a provider that fails is 502", async () => {
    const long = await speak(front.worker, "x".repeat(101)).then(assert.fail, (error) => error);
    assert.deepEqual([long.status, long.code], [400, "invalid_request"]);
    isDown = true;
    const down = await speak(front.worker, "Hello.").then(assert.fail, (error) => error);
    assert.deepEqual([down.status, down.code], [502, "speech_failed"]);
  });
});
