// `npm test`: everything. For developers: `npm test -- --fast` leaves the real OpenClaw out,
// `--only native|e2e|openclaw` picks parts, `--openclaw=VERSION,…` says which versions to test
// against.
//
// First all that compiles, in two lanes that use different folders of cargo's: programs of this
// machine, and WebAssembly. Installations go on beside. Then all tests of Node: those with the
// simulated gateway beside those with an OpenClaw, because both wait more than they compute.

import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { checkInstructions } from "../bench/instructions/instructions.mjs";
import { buildPanickingWorker, buildWorker } from "./build.mjs";
import { nativeEnvironment, wasmEnvironment } from "./cargo.mjs";
import { ensureClients } from "./clients.mjs";
import { runCommand } from "./command.mjs";
import { installOpenClaw } from "./gateways.mjs";
import { buildNative, NATIVE_PACKAGES } from "./native.mjs";
import { ensureRoom, needsOfTests } from "./needs.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { allOrFirstFailure, ensureNodePackages, ensureRust, findNode } from "./setup.mjs";
import { watchRoom } from "./space.mjs";
import { dim, Failure, green, say, step } from "./steps.mjs";
import { runSuites } from "./suites.mjs";

const PARTS = ["native", "e2e", "openclaw"];
const OPENCLAW_VERSION = "2026.9.6";

async function main() {
  const { parts, versions } = options();
  const showRoom = watchRoom([ROOT, tmpdir()]);
  ensureRoom(needsOfTests(parts, versions));
  try {
    await runParts(parts, versions);
  } finally {
    showRoom();
  }
}

async function runParts(parts, versions) {
  const startedMs = performance.now();
  const isNative = parts.has("native");
  const isEndToEnd = parts.has("e2e") || parts.has("openclaw");
  const lanes = [
    nativeLane({ isNative, isEndToEnd }),
    wasmLane({ isNative, isEndToEnd, isPanicking: parts.has("e2e") }),
  ];
  if (isNative) lanes.push(lintJavaScript());
  if (isEndToEnd) lanes.push(ensureClients());
  if (parts.has("openclaw")) lanes.push(installAll(versions));
  const [, env] = await allOrFirstFailure(lanes);
  // All is installed. `.ci/run` has npm's cache here; the usual one is the user's.
  rmSync(join(CACHE, "npm/_cacache"), { recursive: true, force: true });
  if (isEndToEnd) await endToEnd(parts, versions, env);
  say(
    green(
      `✓ ${[...parts].join(", ")}: all passed in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`,
    ),
  );
}

const DENY_WARNINGS = ["--", "-D", "warnings"];
const WASM = ["--target", "wasm32-unknown-unknown"];
const CASES = join(ROOT, "bench/instructions");
const TOOLS = join(ROOT, "scripts/tools");

/** The Worker itself compiles for WebAssembly only: the other lane lints it. */
async function nativeLane({ isNative, isEndToEnd }) {
  await ensureRust();
  if (isNative) {
    for (const [name, cwd] of [
      ["Formatting", ROOT],
      ["Formatting of the cases to measure", CASES],
      ["Formatting of the tools", TOOLS],
    ]) {
      await cargo(name, ["fmt", "--all", "--check"], {
        cwd,
        fix: `run \`cargo fmt --all\` in ${cwd}.`,
      });
    }
    await cargo("Lints, native", ["clippy", ...NATIVE_PACKAGES, "--all-targets", ...DENY_WARNINGS]);
  }
  if (isNative || isEndToEnd) await buildNative();
  if (isNative) {
    await cargo("Rust tests", ["test", ...NATIVE_PACKAGES], { shows: RESULTS });
    // The cases that core is measured with are a workspace of their own. Here they are run once,
    // not timed.
    await cargo(
      "Lints of the cases to measure",
      ["clippy", "--locked", "--workspace", "--all-targets", ...DENY_WARNINGS],
      { cwd: CASES },
    );
    await cargo(
      "Cases to measure, each once",
      ["test", "--locked", "--package", "clawfront-cases", "--lib", "--benches"],
      { cwd: CASES, shows: RESULTS },
    );
  }
}

async function wasmLane({ isNative, isEndToEnd, isPanicking }) {
  await ensureRust();
  const env = isEndToEnd ? await buildWorker() : undefined;
  if (isPanicking) await buildPanickingWorker(env);
  if (isNative) {
    await cargo(
      "Lints, wasm32",
      [
        "clippy",
        "--package",
        "clawfront",
        "--package",
        "clawfront-core",
        ...WASM,
        ...DENY_WARNINGS,
      ],
      { env: wasmEnvironment() },
    );
    await checkInstructions();
  }
  return env;
}

async function lintJavaScript() {
  await ensureNodePackages();
  await command(
    "Formatting and lints of JavaScript",
    findNode(),
    [join(ROOT, "node_modules/@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."],
    { fix: "run `npx biome check --write`, then fix the rest by hand." },
  );
}

/** The lines of the tests' output that are shown where all pass. */
const RESULTS = /^(?: +Running |test result: )/;

const cargo = (name, args, options) => command(name, "cargo", args, options);

/**
 * Runs a program beside other work: its output is kept back, and shown where it fails. `shows`
 * picks lines to show in any case.
 */
function command(
  name,
  program,
  args,
  { cwd = ROOT, env = nativeEnvironment(), shows, fix = "see above." } = {},
) {
  return step(
    name,
    async (onLine) => {
      const lines = [];
      await run(program, args, { cwd, env, onLine: both(lines, onLine) });
      if (shows) for (const line of lines.filter((line) => shows.test(line))) say(dim(line));
    },
    { fix },
  );
}

/** Returns a taker of lines that keeps each in `lines`, too. */
const both = (lines, onLine) => (line) => {
  lines.push(line);
  onLine(line);
};

/**
 * Files of tests with the simulated gateway at a time. They wait more than they compute: two
 * processors run three of them.
 */
const CONCURRENCY = availableParallelism() + 1;
/** A test that hangs is a failure with a name, not a build that never ends. */
const TIMEOUT_MS = 240_000;
/** Real gateways at a time: their tests wait more than they compute. */
const OPENCLAW_LANES = 2;
/**
 * A real gateway takes up to 42 s to start on two idle cores, and there are several beside each
 * other.
 */
const OPENCLAW_TIMEOUT_MS = 900_000;

async function endToEnd(parts, versions, env) {
  const suites = [];
  // Whatever comes next goes to the lane that has ended its last suite. A suite begins with each
  // version before the next one does, so that no two gateways of a version have their first start,
  // in which they compile, at once.
  if (parts.has("openclaw")) {
    const files = testFiles("tests/openclaw");
    const sharing = files.filter(sharesGateway);
    const others = files.filter((file) => !sharing.includes(file));
    for (const [title, together] of [
      ["shared gateway", sharing],
      ...others.map((file) => [basename(file), [file]]),
    ]) {
      for (const version of versions) {
        suites.push({
          name: `End to end, OpenClaw ${version}, ${title}`,
          files: together,
          env: { ...env, OPENCLAW_VERSION: version },
          concurrency: 1,
          timeoutMs: OPENCLAW_TIMEOUT_MS,
          isolation: together.length === 1,
        });
      }
    }
  }
  const lanes = [{ suites, width: OPENCLAW_LANES }];
  const simulated = {
    name: "End to end, simulated gateway",
    files: testFiles("tests", { except: "tests/openclaw" }),
    env,
    concurrency: CONCURRENCY,
    timeoutMs: TIMEOUT_MS,
  };
  if (parts.has("e2e")) lanes.push({ suites: [simulated], width: 1 });
  await runSuites(lanes, { folder: join(CACHE, "test-runs") });
}

/** Returns whether a file's tests take the gateway that all such files share. */
const sharesGateway = (file) =>
  readFileSync(join(ROOT, file), "utf8").includes("/support/shared-openclaw.mjs");

async function installAll(versions) {
  for (const version of versions) await installOpenClaw(version);
}

/** Files that take minutes, because they wait for wrangler, programs of others or gateways. */
const SLOW = [
  "tests/clients/runs-for-one-call.test.mjs",
  "tests/deploy-command/failures.test.mjs",
  "tests/deploy-command/steps.test.mjs",
  "tests/openclaw/losses.test.mjs",
];

/**
 * Returns slow files first, then the longer ones: node's runner begins them in this order, and one
 * that begins last should be short.
 */
function testFiles(folder, { except } = {}) {
  if (!existsSync(join(ROOT, folder))) return [];
  return (
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      // Packages bring tests of their own.
      .filter(
        (entry) =>
          entry.isFile() &&
          entry.name.endsWith(".test.mjs") &&
          !(entry.parentPath ?? entry.path).includes("node_modules"),
      )
      .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)))
      .filter((path) => !except || !path.startsWith(`${except}/`))
      .sort((a, b) => weight(b) - weight(a))
  );
}

const weight = (path) =>
  SLOW.includes(path) ? Number.MAX_SAFE_INTEGER : statSync(join(ROOT, path)).size;

const USAGE =
  "`npm test`, `npm test -- --fast`, `npm test -- --only native|e2e|openclaw`, `npm test -- --openclaw=VERSION,…`";

function options() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        only: { type: "string", multiple: true },
        fast: { type: "boolean" },
        openclaw: { type: "string", default: OPENCLAW_VERSION },
      },
    }));
  } catch (error) {
    throw new Failure(`${error.message.split(". ")[0]}.`, { fix: `there is ${USAGE}.` });
  }
  const parts = new Set(
    values.only?.flatMap((list) => list.split(",")) ?? (values.fast ? ["native", "e2e"] : PARTS),
  );
  const unknown = [...parts].filter((part) => !PARTS.includes(part));
  if (unknown.length > 0)
    throw new Failure(`The part ${unknown.join(", ")} does not exist.`, {
      fix: `choose from ${PARTS.join(", ")}.`,
    });
  return { parts, versions: values.openclaw.split(",") };
}

await runCommand("Tests", main);
