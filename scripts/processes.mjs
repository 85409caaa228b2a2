// Child processes that never outlive us: each leads its own process group, and the group is ended whole, because the programs
// started here (npm, cargo, wrangler) start others.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { Failure, silence } from "./steps.mjs";

/**
 * Runs a program to its end and returns its standard output. `onLine` gets every line it prints on either stream;
 * `show` lets it write straight to our own streams instead.
 */
export async function run(command, args, { onLine, show = false, ...options } = {}) {
  const stdio = show ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"];
  const child = start(command, args, { ...options, stdio });
  const stdout = [];
  const output = [];
  collect(child.stdout, (line) => {
    stdout.push(line);
    output.push(line);
    onLine?.(line);
  });
  collect(child.stderr, (line) => {
    output.push(line);
    onLine?.(line);
  });
  const { code, signal, error } = await child.ended;
  if (code !== 0) throw new CommandFailed(command, args, error?.message ?? signal ?? `exit code ${code}`, output.join("\n"));
  return stdout.join("\n");
}

/**
 * Starts a program. `child.ended` resolves, never rejects, to `{ code, signal, error }` once it has ended and its output is read.
 * `group: false` leaves it in our own group, for callers that are ended as a group themselves.
 */
export function start(command, args, { group = true, ...options } = {}) {
  if (ending) throw new CommandFailed(command, args, "not started, we are ending", "");
  endOnSignals();
  const child = spawn(command, args, { ...options, detached: group });
  child.group = group;
  child.ended = new Promise((resolve) => {
    child.once("error", (error) => resolve({ error }));
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  if (child.pid !== undefined) {
    running.add(child);
    // Not on "close": a grandchild may hold the pipes open long after.
    child.once("exit", () => group || running.delete(child));
  }
  return child;
}

/** Ends a program and all that it started: asks first, then kills. Returns once it is gone. */
export async function stop(child, { graceMs = GRACE_MS } = {}) {
  if (child.pid === undefined) return;
  signalTo(child, "SIGTERM");
  if (!(await hasEnded(child, graceMs))) {
    signalTo(child, "SIGKILL");
    await hasEnded(child, KILL_MS);
  }
  running.delete(child);
}

export async function stopAll() {
  await Promise.all([...running].map((child) => stop(child)));
}

/** Calls `line` for each line of a stream. */
export function collect(stream, line) {
  if (stream) createInterface({ input: stream, crlfDelay: Infinity }).on("line", line);
}

/** True once something has told us to end. */
export const isEnding = () => ending;

/** Makes Ctrl-C and its kin end everything that was started, then us. */
function endOnSignals() {
  if (listening) return;
  listening = true;
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.on(signal, () => end(signal));
  if (process.env.npm_lifecycle_event) {
    // npm hands on SIGINT and SIGTERM, but nobody hands on what ends npm itself at once.
    const npm = process.ppid;
    setInterval(() => process.ppid === npm || end("SIGHUP"), PARENT_POLL_MS).unref();
  }
}

async function end(signal) {
  if (ending) return;
  ending = true;
  silence();
  await stopAll();
  process.exit(128 + constants.signals[signal]);
}

class CommandFailed extends Failure {
  constructor(command, args, how, output) {
    super(`\`${[command.split("/").at(-1), ...args].join(" ")}\` failed: ${how}.`, { output });
  }
}

/** Wrangler ends within a second when asked; what takes longer is stuck. */
const GRACE_MS = 4_000;
/** After a kill only the kernel has work left; a container whose first process reaps nothing leaves zombies, which must not hold us. */
const KILL_MS = 1_000;
const POLL_MS = 25;
const PARENT_POLL_MS = 500;

const running = new Set();
let listening = false;
let ending = false;

// The last resort, for a crash or process.exit(): nothing asynchronous runs any more.
process.on("exit", () => {
  for (const child of running) signalTo(child, "SIGKILL");
});

function signalTo(child, signal) {
  try {
    process.kill(child.group ? -child.pid : child.pid, signal);
  } catch {
    // Gone already.
  }
}

async function hasEnded(child, limitMs) {
  for (const startMs = Date.now(); Date.now() - startMs < limitMs; ) {
    if (!isAlive(child)) return true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return !isAlive(child);
}

function isAlive(child) {
  if (!child.group) return child.exitCode === null && child.signalCode === null;
  try {
    process.kill(-child.pid, 0);
    return true;
  } catch {
    return false;
  }
}
