// Runs suites of node's test runner beside each other, and shows their results as one.

import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "./paths.mjs";
import { isEnding, run } from "./processes.mjs";
import { findNode } from "./setup.mjs";
import { dim, Failure, say, step, yellow } from "./steps.mjs";

const DURATIONS = fileURLToPath(new URL("durations.mjs", import.meta.url));
/** The number of files that are named at the end. */
const SHOWN_SLOWEST = 10;

/**
 * Runs suites to their end, all of them, because a run on a server should show every failure.
 * @param lanes lists of suites, `{ suites, width }`: at most `width` of a list run at a time. A
 *   suite is `{ name, files, env, concurrency, timeoutMs, isolation }`. Without `isolation` all files
 *   run in one process, one after the other, and can share what is slow to start.
 * @param folder where the runner records results.
 */
export async function runSuites(lanes, { folder }) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const suites = lanes.flatMap((lane) => lane.suites);
  for (const [index, suite] of suites.entries()) suite.results = join(folder, `${index}.jsonl`);
  const failed = [];
  const runOf = async (waiting) => {
    for (let suite = waiting.shift(); suite && !isEnding(); suite = waiting.shift())
      await nodeTests(suite).catch((error) => failed.push({ suite, error }));
  };
  await Promise.all(
    lanes.flatMap(({ suites, width }) => {
      const waiting = [...suites];
      return Array.from({ length: width }, () => runOf(waiting));
    }),
  );
  const lines = suites.flatMap(resultsOf);
  const results = lines.filter(({ counts }) => counts);
  await runAlone(failed, results, folder);
  sayResults(results);
  sayFailures(lines.filter(({ failed }) => failed));
  if (failed.length > 0) throw failed[0].error;
}

/** Most failed files that run again. More of them have a cause that a second run does not show. */
const ALONE_MAX = 3;

/**
 * Runs the files that failed beside others once more, alone, and prints how that ended. It changes
 * no result: a failure stays one. It shows if a test needs an idle machine, or is
 * disturbed by another one.
 */
async function runAlone(failed, results, folder) {
  const files = failed.flatMap(({ suite }) =>
    results
      .filter((one) => one.suite === suite && (one.counts.failed > 0 || one.counts.cancelled > 0))
      .map(({ file }) => ({ file, suite })),
  );
  if (files.length > ALONE_MAX) return;
  for (const [index, { file, suite }] of files.entries()) {
    if (isEnding()) return;
    const path = relative(ROOT, file);
    const alone = { ...suite, name: `${suite.name}: ${path}, alone`, files: [file] };
    alone.results = join(folder, `alone-${index}.jsonl`);
    const end = await nodeTests(alone).then(
      () => "passed",
      () => "failed",
    );
    say(yellow(`! ${path} failed beside other tests, and ${end} alone`));
  }
}

/**
 * Runs one suite and prints the runner's output, whole, when it has ended, because others run
 * beside it.
 */
async function nodeTests(suite) {
  const { name, files, env, concurrency, timeoutMs, isolation = true, results } = suite;
  if (files.length === 0)
    throw new Failure(`${name}: no test file was found.`, {
      fix: "a test file is named *.test.mjs.",
    });
  const reporters = [
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    `--test-reporter=${DURATIONS}`,
    `--test-reporter-destination=${results}`,
  ];
  const args = [
    "--test",
    ...reporters,
    `--test-timeout=${timeoutMs}`,
    `--test-concurrency=${concurrency}`,
    `--test-isolation=${isolation ? "process" : "none"}`,
    ...files,
  ];
  const lines = [];
  await step(
    name,
    async (onLine) => {
      try {
        await run(findNode(), args, {
          cwd: ROOT,
          env,
          onLine: (line) => {
            lines.push(line);
            onLine(line);
          },
        });
      } catch (error) {
        // Shown below, and whole.
        error.output = undefined;
        throw error;
      } finally {
        process.stdout.write(`${lines.join("\n")}\n`);
      }
    },
    { fix: "see the failures above." },
  );
}

/** The slowest files, and the counts of all suites together, in the words of node's runner. */
function sayResults(results) {
  const files = [...results];
  say("\nSlowest test files:");
  for (const { file, ms, suite } of files.sort((a, b) => b.ms - a.ms).slice(0, SHOWN_SLOWEST)) {
    say(
      `  ${(ms / 1000).toFixed(1).padStart(6)} s  ${relative(ROOT, file)} ${dim(`(${suite.name.split(/, |: /)[1]})`)}`,
    );
  }
  const sum = (count) => files.reduce((total, { counts }) => total + (counts[count] ?? 0), 0);
  const counts = {
    tests: sum("tests"),
    suites: sum("suites"),
    pass: sum("passed"),
    fail: sum("failed"),
    cancelled: sum("cancelled"),
    skipped: sum("skipped"),
    todo: sum("todo"),
  };
  process.stdout.write(
    Object.entries(counts)
      .map(([name, count]) => `ℹ ${name} ${count}\n`)
      .join(""),
  );
}

/** Names what failed once more, with the reasons: the whole output is long. */
function sayFailures(failures) {
  for (const { suite, file, failed, why } of failures) {
    const place = file ? `${relative(ROOT, file)}: ` : "";
    say(yellow(`✖ ${suite.name}: ${place}${failed}`));
    say(why.replace(/^/gm, "    "));
  }
}

/**
 * Returns the runner's records of a suite: `{ suite, file, ms, counts }` for each file, and
 * `{ suite, file, failed, why }` for each test that failed.
 */
function resultsOf(suite) {
  if (!existsSync(suite.results)) return [];
  return readFileSync(suite.results, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => ({ ...JSON.parse(line), suite }));
}
