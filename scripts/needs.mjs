// Refuses to begin where a file system has clearly too little room. A disk that is full after ten
// minutes of compiling would show as the failure of some test.

import { existsSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { CACHE, ROOT } from "./paths.mjs";
import { toolsFolder } from "./setup.mjs";
import { BYTES_PER_MB, byFileSystem, existing, gigabytes, roomiest, roomOf } from "./space.mjs";
import { Failure } from "./steps.mjs";

/** Returns what `npm start` needs: a version of OpenClaw, or none. */
export const needsOfStart = (version) => [
  ...TO_RUN,
  ...(version === undefined ? [] : [openClaw(version)]),
];

/** Returns what `npm test` needs: the parts that run, and the versions of OpenClaw. */
export function needsOfTests(parts, versions) {
  const isEndToEnd = parts.has("e2e") || parts.has("openclaw");
  return [
    ...(isEndToEnd ? [...TO_RUN, ...CLIENTS, temporary()] : [PROGRAMS]),
    ...(parts.has("native") ? [CHECKS] : []),
    ...(parts.has("openclaw") ? versions.map(openClaw) : []),
  ];
}

/** Throws a `Failure` if a file system has too little room for what is not there yet. */
export function ensureRoom(needs) {
  const missing = needs.filter(({ made }) => !existsSync(made));
  for (const onOne of byFileSystem(missing, ({ made }) => made)) {
    const folder = existing(onOne[0].made);
    const problem = problemOf({ folder, ...roomOf(folder), needs: onOne });
    if (problem) throw new Failure(problem.message, { fix: problem.fix });
  }
}

/** Returns `{ message, fix }` if `needs` clearly do not fit, else undefined. */
export function problemOf({ folder, freeBytes, needs }) {
  const bytes = needs.reduce((sum, { megabytes }) => sum + megabytes * BYTES_PER_MB, 0);
  if (freeBytes >= bytes * CLEARLY) return undefined;
  const list = needs.map(({ name, megabytes }) => `${name} ${megabytes} MB`).join(", ");
  return {
    message: `The file system of ${folder} has ${gigabytes(freeBytes)} free, and this needs ${gigabytes(bytes)} (${list}).`,
    fix: `free ${gigabytes(bytes - freeBytes)} there, or move the checkout to a larger file system.`,
  };
}

/**
 * The part of what was measured that must be free. Sizes differ from system to system: only a lack
 * that no system would do with is refused.
 */
const CLEARLY = 0.8;

const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const CARGO_HOME = process.env.CARGO_HOME ?? join(homedir(), ".cargo");

/**
 * The things that are installed and built: `{ name, made, megabytes }`. Each needs room until the
 * file or folder `made` exists. Measured with `du -sm` in a first `npm test` on Linux, x86-64.
 */
const PROGRAMS = { name: "native programs", made: join(TARGET, "debug"), megabytes: 350 };
const CHECKS = { name: "Rust tests and lints", made: join(TARGET, "debug"), megabytes: 700 };
const TO_RUN = [
  { name: "Rust packages", made: join(CARGO_HOME, "registry"), megabytes: 330 },
  PROGRAMS,
  { name: "Worker", made: join(TARGET, "release"), megabytes: 300 },
  { name: "npm packages", made: join(ROOT, "node_modules"), megabytes: 690 },
  // While they compile; then they have 30 MB.
  { name: "tools that build the Worker", made: toolsFolder(), megabytes: 250 },
];
const CLIENTS = [
  {
    name: "npm packages of clients, Chromium",
    made: join(ROOT, "tests/clients/node_modules"),
    megabytes: 390,
  },
  {
    name: "Python packages of clients",
    made: join(CACHE, "python-retrying"),
    megabytes: 500,
  },
];
/** Its declarations are removed after the installation. */
const openClaw = (version) => ({
  name: `OpenClaw ${version}`,
  made: join(CACHE, "openclaw", version),
  megabytes: 650,
});
/** Of that `tests/tooling/fresh-machine.test.mjs` takes 1,080 MB, where most room is. */
const temporary = () => ({
  name: "files of tests",
  made: join(roomiest([tmpdir(), CACHE]), "clawfront-tests"),
  megabytes: 1_300,
});
