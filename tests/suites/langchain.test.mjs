// LangChain's standard tests of chat models (langchain-tests), with ChatOpenAI of langchain-openai,
// in front of an agent. The cases that cannot pass, and why, are in langchain/conftest.py; pytest
// fails where one of them passes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { runSuite, startSuiteFront } from "../support/suites.mjs";

/** The case that measures time against a recording: for each API. */
const SKIPPED = 2;

test("ChatOpenAI passes LangChain's standard tests with either API", async () => {
  const front = await startSuiteFront();
  try {
    const env = {
      OPENAI_BASE_URL: front.baseURL,
      OPENAI_API_KEY: front.key,
      LANGCHAIN_TESTS_USER_AGENT: "none",
      LANGSMITH_TRACING: "false",
    };
    const args = [
      "-m",
      "pytest",
      "-p",
      "no:cacheprovider",
      "--no-header",
      "--quiet",
      "--tb=native",
      "-r",
      "sX",
      "tests/suites/langchain",
    ];
    const { code, output } = await runSuite(args, { cwd: ROOT, env });
    assert.equal(code, 0, output);
    const count = (what) => Number(output.match(new RegExp(`(\\d+) ${what}\\b`))?.[1] ?? 0);
    console.log(
      `LangChain's standard tests: ${count("passed")} passed, ${count("xfailed")} cannot pass`,
    );
    assert.equal(count("skipped"), SKIPPED, output);
  } finally {
    await front.stop();
  }
});
