// Vercel's AI SDK.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";
import { contract, startClientFront } from "../support/clients.mjs";
import { words } from "../support/prompts.mjs";
import { compatibleAdapter, defaultAdapter, providerAdapter } from "./ai-sdk-adapter.mjs";

const names = { 401: "APICallError", 404: "APICallError", 429: "APICallError" };

contract("AI SDK, @ai-sdk/openai-compatible", { adapter: compatibleAdapter, names, lists: false });
contract("AI SDK, @ai-sdk/openai", { adapter: providerAdapter, names, lists: false });
contract("AI SDK, @ai-sdk/openai at its default", { adapter: defaultAdapter, names, lists: false });

describe("AI SDK, @ai-sdk/openai at its default: a conversation", () => {
  let front;
  before(async () => (front = await startClientFront()));
  after(() => front.stop());

  /** A conversation as an application keeps it: with all that the SDK returned. */
  const conversation = (options = {}, key = front.phone.key) => {
    const openai = createOpenAI({ baseURL: front.baseURL, apiKey: key });
    const messages = [];
    return async (content, model = "openclaw") => {
      messages.push({ role: "user", content });
      const result = await generateText({
        model: openai(model),
        messages,
        maxRetries: 0,
        ...options,
      });
      messages.push(...result.response.messages);
      return result.text;
    };
  };
  const told = (text) => JSON.parse(text);

  test("a second and a third turn go on in the session of the first, and receive only the new messages", async () => {
    for (const options of [{}, { providerOptions: { openai: { user: "anna" } } }]) {
      const ask = conversation(options);
      assert.equal(await ask("My name is Ada. [[fake deltas=2]]"), words(2));
      const second = told(await ask("And? [[fake echo=1]]"));
      const third = told(await ask("And now? [[fake echo=1]]"));
      assert.equal(second.message, "And? [[fake echo=1]]");
      assert.equal(third.message, "And now? [[fake echo=1]]");
      assert.equal(third.sessionKey, second.sessionKey);
    }
  });

  test("an item that the session does not hold is refused, with the setting that helps", async () => {
    const ask = conversation();
    await ask("My name is Ada. [[fake deltas=2]]");
    await assert.rejects(ask("And? [[fake deltas=1]]", "openclaw/beta"), /`store: false`/);
    const { runs } = await front.sim.journal();
    await front.sim.resetSession(runs.at(-1).sessionKey);
    await assert.rejects(ask("And? [[fake deltas=1]]"), /`store: false`/);
  });

  test("with `store: false` the whole conversation is sent, to any agent", async () => {
    const ask = conversation({ providerOptions: { openai: { store: false } } });
    await ask("My name is Ada. [[fake deltas=2]]");
    assert.match(
      told(await ask("And? [[fake echo=1]]", "openclaw/beta")).message,
      /User: My name is Ada\..*\nAssistant: w0 w1\n/s,
    );
  });
});
