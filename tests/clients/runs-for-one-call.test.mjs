// Tests that one call of a user is one run of the agent, in every failure: with clients that do not
// read `x-should-retry`, and with the official SDKs, at their default settings. The figures of
// docs/clients.md are compared with the measured ones.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT } from "../../scripts/paths.mjs";
import { RETRYING_PYTHON } from "../../scripts/python.mjs";
import { pythonAdapter, startClientFront } from "../support/clients.mjs";
import { openaiAdapter } from "./openai-adapter.mjs";
import { responsesAdapter } from "./openai-responses-adapter.mjs";

/** By default litellm requests the prices of models from another host. */
const retrying = pythonAdapter("retrying", {
  python: RETRYING_PYTHON,
  env: { LITELLM_LOCAL_MODEL_COST_MAP: "True" },
});
const openaiPython = pythonAdapter("openai_python");
const openaiPythonResponses = pythonAdapter("openai_python_responses");

/** A client of openai-python or openai-node, which asks with options of its own, here none. */
const sdk =
  (adapter) =>
  ({ baseURL, key, content, stream }) =>
    adapter({ baseURL, key, options: {} }).ask({ content, stream });
const python =
  (adapter) =>
  ({ baseURL, key, content, stream }) =>
    adapter({ baseURL, key }).ask({ content, stream, options: {} });
const method =
  (name) =>
  ({ baseURL, key, content, stream }) =>
    retrying.call(name, { base_url: baseURL, key, content, stream });

/** The clients, as the table in docs/clients.md names them: how each makes a call. */
const CLIENTS = {
  "litellm, chat": method("litellm_completion"),
  "litellm, Responses API": method("litellm_responses"),
  "litellm Router, chat": method("router_completion"),
  "litellm Router, Responses API": method("router_responses"),
  "llama-index `OpenAILike`": method("llama_index_chat"),
  "llama-index `OpenAILikeResponses`": method("llama_index_responses"),
  "dspy, chat": method("dspy_chat"),
  "dspy, Responses API": method("dspy_responses"),
  "openai-python, chat": python(openaiPython),
  "openai-python, Responses API": python(openaiPythonResponses),
  "openai-node, chat": sdk(openaiAdapter),
  "openai-node, Responses API": sdk(responsesAdapter),
};

const BEFORE_RUN = "before a run";
/**
 * A call that fails before a run is seen enough when it has asked so often: some clients ask twelve
 * times, and wait 5 s in between.
 */
const SEEN_ATTEMPTS = 2;
/** The journal is large, so it is not asked for more often. */
const POLL_MS = 250;

/** The columns of the table: the failure, as a fault of the simulated gateway. */
const FAILURES = {
  [BEFORE_RUN]: ["draining=1"],
  // As a status, and as the first event of a stream, whose head is held for 2 s.
  "before the first words": ["error=500", "error=500 retry=40 cut=0"],
  "in mid-stream": ["deltas=6 streamerror=3"],
};
const FORMS = ["streamed", "whole"];

/** The package that each client is, for the column of its version. */
const PACKAGES = [
  [/^litellm/, locked("retrying/requirements.txt", "litellm")],
  [/^llama-index/, locked("retrying/requirements.txt", "llama-index-llms-openai-like")],
  [/^dspy/, locked("retrying/requirements.txt", "dspy")],
  [/^openai-python/, locked("requirements.txt", "openai")],
  [
    /^openai-node/,
    JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).devDependencies.openai,
  ],
];
const VERSION = 1;

describe("runs for one call", { concurrency: true }, () => {
  let front;
  before(async () => (front = await startClientFront()));
  after(async () => {
    for (const adapter of [retrying, openaiPython, openaiPythonResponses]) await adapter.close();
    await front?.stop();
  });
  const table = tableOf(readFileSync(join(ROOT, "docs/clients.md"), "utf8"));

  for (const [client, ask] of Object.entries(CLIENTS)) {
    test(client, async () => {
      const row = table.rows.get(client);
      assert.ok(row, `docs/clients.md has no row for ${client}`);
      const seen = Object.fromEntries(
        await Promise.all(
          Object.entries(FAILURES).map(async ([failure, directives]) => {
            const calls = directives.flatMap((directive) =>
              FORMS.map((form) => ({ directive, form })),
            );
            return [
              failure,
              await Promise.all(calls.map((call) => runsOf(client, ask, { failure, ...call }))),
            ];
          }),
        ),
      );
      for (const [failure, counts] of Object.entries(seen)) {
        const expected = failure === BEFORE_RUN ? 0 : 1;
        for (const { directive, form, runs } of counts)
          assert.equal(runs, expected, `${client}, ${directive}, ${form}: ${runs} runs`);
        assert.equal(
          row[table.head.indexOf(failure)],
          String(expected),
          `docs/clients.md, ${client}, ${failure}`,
        );
      }
      const [, version] = PACKAGES.find(([name]) => name.test(client));
      assert.equal(row[VERSION], version, `docs/clients.md, ${client}`);
    });
  }

  /** Makes one call, which has to fail, and counts the runs that the gateway started for it. */
  async function runsOf(client, ask, { failure, directive, form }) {
    const id = `${client}, ${directive}, ${form}.`;
    const content = `${id} [[fake ${directive}]]`;
    let ended;
    const asked = ask({
      baseURL: front.baseURL,
      key: front.phone.key,
      content,
      stream: form === "streamed",
    });
    const end = asked.then(
      (answer) => (ended = { answer }),
      (error) => (ended = { error }),
    );
    if (failure !== BEFORE_RUN) await end;
    while (!ended && (await seenOf(id)).attempts < SEEN_ATTEMPTS)
      await Promise.race([end, sleep(POLL_MS)]);
    assert.ok(!ended || ended.error, `${id}: an answer`);
    const { attempts, runs } = await seenOf(id);
    assert.notEqual(attempts, 0, `${id}: the gateway was not asked: ${ended?.error?.message}`);
    return { directive, form, runs };
  }

  /** How often the gateway was asked for a call, and how many runs it started for it. */
  async function seenOf(id) {
    const { runs, frames } = await front.sim.journal();
    const attempts = frames
      .filter(({ method, params }) => method === "agent" && params.message?.includes(id))
      .map(({ params }) => params.idempotencyKey);
    return {
      attempts: attempts.length,
      runs: runs.filter(({ runId }) => attempts.includes(runId)).length,
    };
  }
});

/** The version of a package in a lock of Python's. */
function locked(lock, name) {
  return readFileSync(join(ROOT, "tests/clients", lock), "utf8").match(
    new RegExp(`^${name}==([^ ;]+)`, "m"),
  )[1];
}

/** The table below "Runs for one call": its head, and its rows by their first cell. */
function tableOf(document) {
  const lines = document.slice(document.indexOf("Runs for one call")).split("\n");
  const from = lines.findIndex((line) => line.startsWith("|"));
  const rest = lines.slice(from);
  const cells = rest
    .slice(
      0,
      rest.findIndex((line) => !line.startsWith("|")),
    )
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  return { head: cells[0], rows: new Map(cells.slice(2).map((row) => [row[0], row])) };
}
