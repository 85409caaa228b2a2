// Compares stored and background responses with those of azure-ai-agentserver-responses 2.3.0, an
// implementation of OpenAI's contract by others. Its answers to the same script are recorded.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { startFront } from "../support/front.mjs";
import { play } from "./agentserver/script.mjs";

const theirs = JSON.parse(readFileSync(join(ROOT, "tests/recorded/agentserver.json"), "utf8"));

/** Members of Azure's own. */
const AZURES = ["agent_reference", "agent_session_id", "additionalInfo", "response_id"];

/** Members of OpenAI's response that the other one leaves out, or has as `null`. */
const LEFT_OUT = [
  "background",
  "completed_at",
  "error",
  "frequency_penalty",
  "incomplete_details",
  "instructions",
  "max_output_tokens",
  "max_tool_calls",
  "metadata",
  "presence_penalty",
  "previous_response_id",
  "prompt_cache_key",
  "reasoning",
  "safety_identifier",
  "service_tier",
  "store",
  "temperature",
  "text",
  "tool_choice",
  "tools",
  "top_logprobs",
  "top_p",
  "truncation",
  "usage",
];

const EVERY = Symbol("every step");
/** The answers have nothing in common. */
const ALL = Symbol("every member");

/**
 * `[step, path, their value, ours, reason]`; each must happen, and no other difference may. The
 * words of errors are each side's own.
 */
const DIFFERENCES = [
  [EVERY, /parallel_tool_calls$/, false, true, "OpenAI's default"],
  ["the one that ended is cancelled", ALL, 400, 200, "OpenAI returns it as it is"],
  ["it is deleted", "body.object", "response", "response.deleted", "OpenAI's"],
  ["the cancelled one is deleted", "body.object", "response", "response.deleted", "OpenAI's"],
  [
    EVERY,
    "body.error.code",
    /^(invalid_request_error|invalid_parameters|unsupported_parameter)$/,
    /^(invalid_request|response_not_found)$/,
    "a code that says more than the type, and one that says it of every parameter",
  ],
  [EVERY, "body.error.param", "response_id", null, "the id is no parameter of the body"],
  ["an id that is none", "status", 400, 404, "every unknown id has one answer"],
  ["an id that is none", "body.error.param", "responseId{nothing}", null, "as above"],
  ["an unknown cancel", "status", 400, 404, "as above"],
  ["an unknown cancel", "body.error.param", "responseId{nothing}", null, "as above"],
  ["no model's input", ALL, 500, 400, "the request is at fault"],
  [
    "a stream that is cancelled",
    "events",
    /delta response\.output_text\.done .* \(missing\) response\.failed$/,
    /delta response\.failed$/,
    "a text that was cut is not done, and no number is missing",
  ],
];

const matches = (pattern, value) =>
  pattern instanceof RegExp ? pattern.test(String(value)) : pattern === value;

/** Returns the name of a member of a response's object, or of an event's. */
const memberOf = (path) => path.match(/(?:^body|\.response)\.(\w+)/)?.[1];

const isAzures = (path) => path.split(/[.[]/).some((name) => AZURES.includes(name));

test("responses last as azure-ai-agentserver-responses has them", async () => {
  const front = await startFront();
  const unseen = { members: new Set(LEFT_OUT), azures: new Set(AZURES) };
  const expected = new Set(DIFFERENCES);
  try {
    const headers = { authorization: `Bearer ${front.phone.key}` };
    const ours = await play(`${front.worker.url}/v1`, headers);
    assert.deepEqual(Object.keys(ours), Object.keys(theirs));
    for (const [step, answer] of Object.entries(ours)) {
      const other = theirs[step];
      const isOther = DIFFERENCES.find(([of, path]) => of === step && path === ALL);
      if (isOther) {
        assert.deepEqual([other.status, answer.status], [isOther[2], isOther[3]], step);
        expected.delete(isOther);
        continue;
      }
      for (const path of new Set([...Object.keys(answer), ...Object.keys(other)])) {
        const [their, our] = [other[path], answer[path]];
        if (path === "body.error.message") {
          assert.ok(their && our, step);
          continue;
        }
        if (isAzures(path)) {
          for (const name of AZURES) if (path.includes(name)) unseen.azures.delete(name);
          assert.equal(our, undefined, `${step}: ${path}`);
          continue;
        }
        if (their === our) continue;
        const member = memberOf(path);
        if (LEFT_OUT.includes(member) && (their === undefined || their === null)) {
          unseen.members.delete(member);
          continue;
        }
        const found = DIFFERENCES.find(
          ([of, at, a, b]) =>
            (of === EVERY || of === step) &&
            matches(at, path) &&
            matches(a, their) &&
            matches(b, our),
        );
        assert.ok(
          found,
          `${step}: ${path} is ${JSON.stringify(their)} there, ${JSON.stringify(our)} here`,
        );
        expected.delete(found);
      }
    }
  } finally {
    await front.stop();
  }
  assert.deepEqual([...expected], [], "these differences are not there");
  assert.deepEqual([[...unseen.members], [...unseen.azures]], [[], []]);
});
