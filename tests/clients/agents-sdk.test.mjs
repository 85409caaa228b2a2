// OpenAI's Agents SDK for Python, with the Responses API, which is its default, and with chat
// completions.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { contract, pythonAdapter, startClientFront } from "../support/clients.mjs";
import { unframed } from "../support/front.mjs";
import { spoken } from "../support/prompts.mjs";

const python = pythonAdapter("agents_sdk");
const names = { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" };

for (const [api, method] of [
  ["responses", "ask_responses"],
  ["chat completions", "ask_chat"],
]) {
  const adapter = ({ baseURL, key }) => ({
    ask: ({ leaveAfter, ...fields }) =>
      python.call(method, { base_url: baseURL, key, leave_after: leaveAfter, ...fields }),
  });
  contract(`Agents SDK, ${api}`, { adapter, names, lists: false, finishes: false });
}

describe("Agents SDK", () => {
  let front;
  before(async () => (front = await startClientFront()));
  after(async () => {
    await python.close();
    await front?.stop();
  });
  const call = (method, fields) =>
    python.call(method, { base_url: front.baseURL, key: front.phone.key, ...fields });

  test("sends the first turn's messages with the second", async () => {
    const told = JSON.parse(
      await call("two_turns", {
        first: spoken("It is in Wales."),
        second: "and now? [[fake echo=1]]",
      }),
    );
    assert.match(told.message, /Assistant: It is in Wales\./);
    assert.match(told.message, /and now\?/);
    assert.equal(unframed(told.extraSystemPrompt), "Answer.");
  });

  test("gets an answer of a type", async () => {
    assert.equal(await call("typed", { content: spoken('{"city":"Bangor"}') }), "Bangor");
    const [run] = (await front.sim.journal()).frames
      .filter(({ method }) => method === "agent")
      .slice(-1);
    assert.match(run.params.extraSystemPrompt, /valid against this JSON Schema:\n.*"city"/s);
  });
});
