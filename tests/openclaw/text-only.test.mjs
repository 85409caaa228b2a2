// Tests conversations with images in front of a real OpenClaw whose agent has a model that reads
// none: 2026.9 refuses the request then, 2026.3 leaves them out.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey, post } from "../support/front.mjs";
import { protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { PIXEL } from "../support/prompts.mjs";

const model = (id, input) => ({ ...SMALL, id, name: id, input });
const SMALL = {
  reasoning: false,
  cost: { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 },
  contextWindow: 200_000,
  maxTokens: 8_192,
};
const models = [model("fake-1", ["text", "image"]), model("fake-2", ["text"])];

const image = { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } };
const seen = { role: "user", content: [image, { type: "text", text: "see" }] };
const cat = { role: "assistant", content: "a cat" };
const asks = (content) => ({ role: "user", content });

describe(`a model without images, OpenClaw ${version}`, () => {
  const key = newKey("phone", "main,beta", "--default", "main");
  const calls = [];
  let front;
  before(async () => {
    const settings = { models: { providers: { fake: { models } } } };
    front = await startOpenClawFront({
      entries: [key.entry],
      settings,
      onCall: (messages) => calls.push(JSON.stringify(messages)),
    });
  });
  after(() => front?.stop());

  const send = async (messages, user) => {
    const response = await post(front.worker, key, { model: "openclaw/beta", user, messages });
    return { status: response.status, text: await response.text() };
  };

  for (const user of [undefined, "new"])
    test(`an image that was answered ends nothing, ${user ? "in a session" : "alone"}`, async () => {
      const before = calls.length;
      const { status, text } = await send([seen, cat, asks("a poem, please")], user);
      assert.equal(status, 200, text);
      assert.equal(calls.length, before + 1, "the agent ran once");
      const placeholder = protocol === 4 ? "[image]" : "[image-1.png]";
      assert.ok(calls.at(-1).includes(`User: ${placeholder}\\nsee`), calls.at(-1));
      assert.ok(!calls.at(-1).includes("data:image"));
      const again = await send([seen, cat, asks("a poem, please"), cat, asks("more")], user);
      assert.equal(again.status, 200, again.text);
    });

  test("an image that a chat UI shows as failed ends nothing", async () => {
    const blank = { role: "assistant", content: "" };
    const { status, text } = await send([seen, blank, asks("without it, then")]);
    assert.equal(status, 200, text);
  });

  test("an image that is to be answered is refused, and nothing ran", {
    skip: protocol === 3 && "OpenClaw 2026.3 leaves it out",
  }, async () => {
    const before = calls.length;
    const { status } = await send([seen, cat, seen]);
    assert.equal(status, 502);
    assert.equal(calls.length, before);
  });
});
