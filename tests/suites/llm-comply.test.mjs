// llm-comply, a compliance test of OpenAI's APIs, in front of an agent: every case passes but those
// of the list, for the reason that it gives.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { runSuite, startSuiteFront, THINKING_MODEL } from "../support/suites.mjs";

const NO_COMPACTION =
  "asks for a conversation that is made shorter, which the agent API cannot; the suite takes 404 for an answer, and warns";

/**
 * The cases that do not pass, or pass with a warning: the suite's result of each, and the reason.
 * One that passes fails this test, too.
 */
const EXPECTED = {
  "open-responses": {
    "reasoning-summary": {
      status: "failed",
      says: /^response\.reasoning\.summary is null/,
      reason: "wants a summary of the reasoning, which the gateway does not make",
    },
    "compact-response": { status: "warned", says: /compact/, reason: NO_COMPACTION },
  },
  "openai-chat": {
    "chat-reasoning-summary": {
      status: "warned",
      says: /reasoning_tokens is 0/,
      reason: "wants the tokens of the reasoning, which the gateway does not count apart",
    },
  },
};

describe("llm-comply", { concurrency: true }, () => {
  let front;
  before(async () => (front = await startSuiteFront()));
  after(() => front?.stop());

  for (const [format, expected] of Object.entries(EXPECTED)) {
    test(format, async () => {
      const args = [
        "-m",
        "llm_comply.cli",
        "--base-url",
        front.baseURL,
        "--api-key",
        front.key,
        "--model",
        THINKING_MODEL,
        "--format",
        format,
        "--json",
      ];
      const { output, stdout } = await runSuite(args);
      let report;
      assert.doesNotThrow(() => (report = JSON.parse(stdout)), output);
      const seen = report.results.map(({ id, status, errors = [], warnings = [] }) => ({
        id,
        status: status === "passed" && warnings.length > 0 ? "warned" : status,
        says: [...errors, ...warnings],
      }));
      for (const { id, status, says } of seen) {
        assert.equal(
          status,
          expected[id]?.status ?? "passed",
          `${id}: ${status}\n${says.join("\n")}`,
        );
        if (expected[id])
          assert.ok(
            says.some((line) => expected[id].says.test(line)),
            `${id}: ${says.join("\n")}`,
          );
      }
      const ids = seen.map(({ id }) => id);
      for (const id of Object.keys(expected))
        assert.ok(ids.includes(id), `the suite has no case ${id} any more`);
      console.log(
        `llm-comply, ${format}: ${seen.filter(({ status }) => status !== "failed").length} of ${seen.length} cases pass`,
      );
    });
  }
});
