// openai-python, with the Responses API.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { contract, pythonAdapter } from "../support/clients.mjs";
import { startFront, until } from "../support/front.mjs";
import { words } from "../support/prompts.mjs";

contract("openai-python, responses", {
  adapter: pythonAdapter("openai_python_responses"),
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
});

describe("openai-python, responses in the background", () => {
  const adapter = pythonAdapter("openai_python_responses");
  let front;
  const call = (method, content) =>
    adapter.call(method, { base_url: `${front.worker.url}/v1`, key: front.phone.key, content });
  before(async () => {
    front = await startFront();
  });
  after(async () => {
    await adapter.close();
    await front?.stop();
  });

  test("are found after their client has left, and their events go on", async () => {
    const content = "hi [[fake deltas=12 delay=80]]";
    const { numbers, ...answer } = await call("background", content);
    assert.deepEqual(answer, {
      begun: "in_progress",
      text: words(12),
      items: [content],
      deltas: words(12),
      end: words(12),
    });
    assert.deepEqual(numbers, [...numbers.keys()]);
  });

  test("are cancelled", async () => {
    await front.sim.reset();
    assert.equal(await call("cancel", "hi [[fake deltas=400 delay=20]]"), "cancelled");
    await until("the run is stopped", async () => {
      const { runs } = await front.sim.journal();
      return runs[0]?.ended === "aborted";
    });
  });
});
