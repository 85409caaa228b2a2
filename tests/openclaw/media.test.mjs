// Tests media that a real agent has made in the background: the answer waits for it, and links to
// it. Only the provider of images is a stand-in, on loopback.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { collect, newKey, post, says, sdk } from "../support/front.mjs";
import { call, protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { PIXEL, steps } from "../support/prompts.mjs";

const KEYS_SECRET = "0123456789abcdef0123456789abcdef";
/** The agent has answered before the image is there. */
const IMAGE_MS = 2_000;

describe(`media of OpenClaw ${version}`, {
  skip: protocol === 3 && "agents of OpenClaw 2026.3 have no tool that makes images",
}, () => {
  const key = newKey("phone", "main");
  let front;
  let images;
  let status = 200;

  before(async () => {
    images = createServer(async (_, response) => {
      await sleep(IMAGE_MS);
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ created: 1, data: [{ b64_json: PIXEL }] }));
    });
    images.listen(0, "127.0.0.1");
    await once(images, "listening");
    const provider = {
      baseUrl: `http://127.0.0.1:${images.address().port}/v1`,
      apiKey: "unused",
      api: "openai-completions",
      models: [],
    };
    const settings = {
      models: { providers: { openai: provider } },
      agents: { defaults: { imageGenerationModel: { primary: "openai/gpt-image-2" } } },
      // The provider of images is on loopback.
      browser: { ssrfPolicy: { dangerouslyAllowPrivateNetwork: true } },
    };
    front = await startOpenClawFront({ entries: [key.entry], vars: { KEYS_SECRET }, settings });
  });
  after(async () => {
    await front?.stop();
    images?.close();
  });

  const draw = call("image_generate", { prompt: "a cat" });
  const prompt = steps(
    { text: "I make it.", tools: [draw] },
    { text: "Making it." },
    { text: "Here it is." },
  );
  const text = "I make it.\n\nMaking it.\n\nHere it is.";

  test("an image that comes after the answer is a part of it", async () => {
    const { completions } = sdk(front.worker, key).chat;
    const stream = { stream: true, stream_options: { include_usage: true } };
    const streamed = await collect(await completions.create(says(prompt, stream)));
    assert.deepEqual(streamed.finish, ["stop"]);
    assert.ok(streamed.usage.prompt_tokens > 3_000, "the tokens of all three calls of the model");
    const whole = await completions.create(says(prompt));
    for (const content of [streamed.text, whole.choices[0].message.content]) {
      assert.ok(content.startsWith(`${text}\n\n![image-1`), content);
      const [, url] = /\]\((\S+)\)$/.exec(content);
      const image = await fetch(url);
      assert.equal(image.headers.get("content-type"), "image/png");
      assert.deepEqual(Buffer.from(await image.arrayBuffer()), Buffer.from(PIXEL, "base64"));
    }
  });

  test("a session that holds an image of its own goes on", async () => {
    const messages = [{ role: "user", content: prompt }];
    const ask = async () => {
      const response = await post(front.worker, key, { model: "openclaw", user: "ada", messages });
      const { choices } = await response.json();
      messages.push(choices[0].message, { role: "user", content: "And now?" });
      return response.headers.get("x-clawfront-memory");
    };
    assert.equal(await ask(), "begun");
    assert.equal(await ask(), "continued");
  });

  test("an image that cannot be made leaves the answer", async () => {
    status = 400;
    const answer = await sdk(front.worker, key).chat.completions.create(says(prompt));
    assert.equal(answer.choices[0].message.content, text);
  });
});
