// A child process with everything it starts, and the promise that none of it outlives this process.

import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { unwatchGroup, watchGroup } from "../scripts/processes.mjs";

/**
 * Starts `command` as the leader of its own group, with its output appended to `logPath`. `ended`
 * is null while it runs, then how it ended. `end` signals it, waits, and kills the processes that
 * remain after `graceMs`.
 */
export function startGroup(command, args, { cwd, env, logPath }) {
  const output = openSync(logPath, "a", 0o600);
  const child = spawn(command, args, {
    cwd,
    env,
    stdio: ["ignore", output, output],
    detached: true,
  });
  closeSync(output);

  const group = { pid: child.pid, ended: null, whenEnded: null, end };
  group.whenEnded = new Promise((resolve) => {
    const finish = (how) => {
      group.ended ??= how;
      killGroup(group.pid);
      forget(group);
      resolve();
    };
    child.on("error", (error) => finish(error.message));
    child.on("exit", (code, signal) => finish(signal ?? `exit ${code}`));
  });
  if (child.pid !== undefined) remember(group);
  return group;

  async function end(signal, graceMs) {
    if (group.ended !== null) return;
    // Read now: after the end of their parent nothing shows which group they belong to.
    const orphans = descendants(group.pid);
    child.kill(signal);
    const grace = setTimeout(() => killTree(group.pid), graceMs);
    await group.whenEnded;
    clearTimeout(grace);
    killAll(orphans);
  }
}

const running = new Set();
const FATAL_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

function remember(group) {
  if (running.size === 0) {
    process.on("exit", killRunning);
    for (const signal of FATAL_SIGNALS) process.on(signal, killRunningAndDie);
  }
  running.add(group);
  watchGroup(group.pid);
}

function forget(group) {
  if (running.delete(group)) unwatchGroup(group.pid);
  if (running.size === 0) {
    process.off("exit", killRunning);
    for (const signal of FATAL_SIGNALS) process.off(signal, killRunningAndDie);
  }
}

function killRunning() {
  for (const { pid } of running) killTree(pid);
}

/**
 * A signal with a listener no longer ends this process. Unless there is another listener, do what
 * the signal would have done.
 */
function killRunningAndDie(signal) {
  const alone = process.listenerCount(signal) === 1;
  killRunning();
  if (!alone) return;
  process.off(signal, killRunningAndDie);
  process.kill(process.pid, signal);
}

function killTree(pid) {
  const orphans = descendants(pid);
  killGroup(pid);
  killAll(orphans);
}

function killGroup(pid) {
  if (pid !== undefined) kill(-pid);
}

/**
 * Kills those that are still the processes they were: a pid may have been given to another since.
 */
function killAll(orphans) {
  for (const { pid, startTicks } of orphans) {
    if (readStat(pid)?.startTicks === startTicks) kill(pid);
  }
}

function kill(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error; // ESRCH: already gone
  }
}

/**
 * Everything started by `pid`, directly or not. Agents run their commands in groups of their own,
 * where a signal to the gateway's group does not reach them. Read from /proc; empty on systems
 * without it.
 */
function descendants(pid) {
  const all = listProcesses();
  const found = [];
  for (let parents = [pid]; parents.length > 0; ) {
    const children = all.filter(({ parentPid }) => parents.includes(parentPid));
    found.push(...children);
    parents = children.map((child) => child.pid);
  }
  return found;
}

function listProcesses() {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(readStat)
      .filter(Boolean);
  } catch {
    return [];
  }
}

/**
 * Fields 4 and 22 of /proc/PID/stat (proc(5)), counted after the command name, which may hold
 * blanks and brackets.
 */
function readStat(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { pid: Number(pid), parentPid: Number(fields[1]), startTicks: fields[19] };
  } catch {
    return undefined;
  }
}
