// `npm test`: everything. For developers: `npm test -- --fast` leaves the real OpenClaw out, `--only native|e2e|openclaw` picks parts,
// `--openclaw=VERSION,…` says which versions to test against.

import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { buildPanickingWorker, buildWorker } from "./build.mjs";
import { ensureClients } from "./clients.mjs";
import { installOpenClaw } from "./gateways.mjs";
import { checkInstructions } from "./instructions.mjs";
import { buildNative } from "./native.mjs";
import { ROOT } from "./paths.mjs";
import { isEnding, run, stopAll } from "./processes.mjs";
import { ensureRust, findNode, setUp } from "./setup.mjs";
import { Failure, green, reportOnce, say, step } from "./steps.mjs";

const PARTS = ["native", "e2e", "openclaw"];
const OPENCLAW_VERSION = "2026.9.6";

async function main() {
  const { parts, versions } = options();
  const startedMs = performance.now();
  // Minutes of network and disk: they go on beside the compiler.
  const openClaw = parts.has("openclaw") ? beside(installAll(versions)) : undefined;
  const clients = parts.has("e2e") || parts.has("openclaw") ? beside(ensureClients()) : undefined;
  if (parts.has("native")) await native();
  if (clients) {
    const env = await setUp();
    await buildWorker(env);
    await buildNative();
    await clients;
    if (parts.has("e2e")) await buildPanickingWorker(env);
    if (parts.has("e2e")) await nodeTests("End to end, simulated gateway", testFiles("tests", { except: "tests/openclaw" }), env);
    if (openClaw) {
      await openClaw;
      for (const version of versions) {
        const name = `End to end, OpenClaw ${version}`;
        await nodeTests(name, testFiles("tests/openclaw"), { ...env, OPENCLAW_VERSION: version }, OPENCLAW_LIMITS);
      }
    }
  }
  say(green(`✓ ${[...parts].join(", ")}: all passed in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`));
}

const WASM = ["--target", "wasm32-unknown-unknown"];
const DENY_WARNINGS = ["--", "-D", "warnings"];

async function native() {
  await ensureRust();
  const cargo = (name, args, mend) => step(name, () => run("cargo", args, { cwd: ROOT, show: true }), { mend });
  await cargo("Formatting", ["fmt", "--all", "--check"], "run `cargo fmt --all`.");
  await cargo("Lints, native", ["clippy", "--workspace", "--all-targets", ...DENY_WARNINGS], "see the lints above.");
  await cargo("Lints, wasm32", ["clippy", "--package", "clawfront", "--package", "clawfront-core", ...WASM, ...DENY_WARNINGS], "see the lints above.");
  await cargo("Rust tests", ["test", "--workspace"], "see the failures above.");
  await checkCases();
  await checkInstructions();
}

/** The cases that core is measured with are a workspace of their own. Timing is not what they are run for here. */
async function checkCases() {
  const cargo = (name, args, mend) => step(name, () => run("cargo", args, { cwd: join(ROOT, "bench/instructions"), show: true }), { mend });
  await cargo("Formatting of the cases to measure", ["fmt", "--all", "--check"], "run `cargo fmt --all` in bench/instructions.");
  await cargo("Lints of the cases to measure", ["clippy", "--locked", "--workspace", "--all-targets", ...DENY_WARNINGS], "see the lints above.");
  await cargo("Cases to measure, each once", ["test", "--locked", "--package", "clawfront-cases", "--lib", "--benches"], "see the failures above.");
}

/** A test that hangs is a failure with a name, not a build that never ends. */
const LIMITS = ["--test-timeout=120000"];
/** A real gateway takes up to 42 s to start on two idle cores; two at a time would only slow each other down. */
const OPENCLAW_LIMITS = ["--test-timeout=600000", "--test-concurrency=1"];

async function nodeTests(name, files, env, limits = LIMITS) {
  if (files.length === 0) throw new Failure(`${name}: there is no test to run.`, { mend: "a test file is named *.test.mjs." });
  const args = ["--test", "--test-reporter=spec", ...limits, ...files];
  await step(name, () => run(findNode(), args, { cwd: ROOT, env, show: true }), { mend: "see the failures above." });
}

async function installAll(versions) {
  for (const version of versions) await installOpenClaw(version);
}

function testFiles(folder, { except } = {}) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    // Packages bring tests of their own.
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.mjs") && !(entry.parentPath ?? entry.path).includes("node_modules"))
    .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((path) => !except || !path.startsWith(`${except}/`))
    .sort();
}

/** A promise awaited later: its failure is reported there, not as unhandled before. */
function beside(promise) {
  promise.catch(() => {});
  return promise;
}

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      fast: { type: "boolean" },
      openclaw: { type: "string", default: OPENCLAW_VERSION },
    },
  });
  const parts = new Set(values.only?.flatMap((list) => list.split(",")) ?? (values.fast ? ["native", "e2e"] : PARTS));
  const unknown = [...parts].filter((part) => !PARTS.includes(part));
  if (unknown.length > 0) throw new Failure(`There is no part ${unknown.join(", ")}.`, { mend: `choose from ${PARTS.join(", ")}.` });
  return { parts, versions: values.openclaw.split(",") };
}

try {
  await main();
} catch (error) {
  // Told to end: whoever does that also says with which code.
  if (!isEnding()) {
    reportOnce("Tests", error);
    await stopAll();
    process.exit(1);
  }
}
