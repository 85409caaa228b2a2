// Child processes that never outlive us: each leads its own process group, and the group is ended
// whole, because the programs started here (npm, cargo, wrangler) start others.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Failure, reportOnce, silence } from "./steps.mjs";

/**
 * Runs a program to its end and returns its standard output. `onLine` gets every line it prints on
 * either stream; `show` lets it write straight to our own streams instead; `data` says that its
 * standard output is for programs and is not shown.
 */
export async function run(command, args, { onLine, show = false, data = false, ...options } = {}) {
  const stdio = show ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"];
  const child = start(command, args, { ...options, stdio });
  const stdout = [];
  const output = [];
  collect(child.stdout, (line) => {
    stdout.push(line);
    if (data) return;
    output.push(line);
    onLine?.(line);
  });
  collect(child.stderr, (line) => {
    output.push(line);
    onLine?.(line);
  });
  const end = await child.ended;
  if (end.code !== 0) throw new CommandFailed(command, args, reasonOf(end), output.join("\n"));
  return stdout.join("\n");
}

/** How a program ended, in words: why it could not be started, its signal, or its exit code. */
export const reasonOf = ({ code, signal, error }) =>
  error?.message ?? signal ?? `exit code ${code}`;

/**
 * Starts a program. `child.ended` resolves, never rejects, to `{ code, signal, error }` once it has
 * ended and its output is read. `group: false` leaves it in our own group, for callers that are
 * ended as a group themselves.
 */
export function start(command, args, { group = true, ...options } = {}) {
  if (isStopping()) throw new CommandFailed(command, args, "not started, we are ending", "");
  endOnSignals();
  const child = spawn(command, args, { ...options, detached: group });
  child.group = group;
  child.ended = new Promise((resolve) => {
    child.once("error", (error) => resolve({ error }));
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  if (child.pid !== undefined) {
    running.add(child);
    if (group) watchGroup(child.pid);
    // Not on "close": a grandchild may hold the pipes open long after. A group outlives its leader
    // while others of it run: it is ended with us.
    child.once("exit", () => isAlive(child) || forget(child));
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
  forget(child);
}

export async function stopAll() {
  await Promise.all([...running].map((child) => stop(child)));
}

/**
 * Reports the first failure and ends everything that still runs, because it is of no use then.
 * Failures that follow from that are not reported. The caller that catches the failure ends with
 * exit code 1.
 */
export async function failFast(name, error) {
  if (isStopping()) return;
  reportOnce(name, error);
  hasFailed = true;
  silence();
  await stopAll();
}

/**
 * Ends a process group after our end, even if we are killed. `unwatchGroup` says that it has ended.
 */
export const watchGroup = (pgid) => sendToReaper("group", pgid);
export const unwatchGroup = (pgid) => sendToReaper("gone", pgid);

/** Removes a folder after our end, even if we are killed: it holds secrets. */
export const removeWhenGone = (folder) => sendToReaper("folder", folder);

/** Calls `line` for each line of a stream. */
export function collect(stream, line) {
  if (stream) createInterface({ input: stream, crlfDelay: Infinity }).on("line", line);
}

/** True once a signal has asked this process to end. */
export const isEnding = () => ending;
/** True once nothing is started any more, because of a signal or a failure. */
export const isStopping = () => ending || hasFailed;

/** Makes Ctrl-C and its kin end everything that was started, then us. */
function endOnSignals() {
  if (listening) return;
  listening = true;
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.on(signal, () => end(signal));
  if (process.env.npm_lifecycle_event) {
    // npm forwards SIGINT and SIGTERM, but a signal that kills npm itself reaches nobody else.
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

/** Wrangler ends within a second of a signal. A process that takes longer is stuck. */
const GRACE_MS = 4_000;
/**
 * After a kill only the kernel has work left. In a container whose first process reaps nothing,
 * zombies stay; this process must not wait for them.
 */
const KILL_MS = 1_000;
const POLL_MS = 25;
const PARENT_POLL_MS = 500;

const running = new Set();
let listening = false;
let ending = false;
let hasFailed = false;
let reaper;

function sendToReaper(verb, what) {
  startReaper();
  reaper.stdin.write(`${verb} ${what}\n`);
}

/**
 * Starts the process that notices the end of this one, in any way: its standard input closes. It
 * leads a group of its own, so that a signal to our group does not end it.
 * @returns its number. It ends after us, when all groups that it watches have ended.
 */
export function startReaper() {
  if (!reaper) {
    reaper = spawn("sh", [fileURLToPath(new URL("reaper.sh", import.meta.url))], {
      cwd: "/",
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    reaper.on("error", () => {});
    reaper.stdin.on("error", () => {});
    reaper.unref();
    reaper.stdin.unref?.();
  }
  return reaper.pid;
}

// The last resort, for a crash or process.exit(): nothing asynchronous runs any more.
process.on("exit", () => {
  for (const child of running) signalTo(child, "SIGKILL");
});

function forget(child) {
  if (running.delete(child) && child.group) unwatchGroup(child.pid);
}

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
