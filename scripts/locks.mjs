// Lets one process of a checkout at a time install or build a thing. A lock whose holder was killed
// is free once the programs that the holder started have ended: an `npm ci` that runs on would
// remove files that the next one writes.
//
// A lock is a symbolic link `NAME.N` in `.cache/locks`, whose target names the holder and the
// process that ends its programs. The link with the greatest number counts. A process that wants
// the lock of a dead holder makes `NAME.N+1`, which the file system allows to only one process. A
// holder then removes lower numbers, never its own, so a number that was seen cannot come back: a
// process that made a lower number meanwhile sees the greater one, and does not hold the lock.

import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { CACHE } from "./paths.mjs";
import { isStopping, startReaper } from "./processes.mjs";
import { dim, Failure, say } from "./steps.mjs";

/** Runs `work` while no other process runs work of this name. */
export async function exclusively(name, work, { folder = join(CACHE, "locks") } = {}) {
  const release = await acquire(name, folder);
  try {
    return await work();
  } finally {
    release();
  }
}

/**
 * Returns whether the process exists and is the same one as before, because the system reuses
 * process numbers.
 */
export function isRunning({ pid, started }) {
  const now = startOf(pid);
  return now !== undefined && (started === undefined || now === started);
}

/** This process, as `isRunning` takes it. */
export const self = () => ({ pid: process.pid, started: startOf(process.pid) });

const POLL_MS = 200;
const FREE = "free";

async function acquire(name, folder) {
  mkdirSync(folder, { recursive: true });
  const me = [process.pid, startReaper()].map((pid) => `${pid} ${startOf(pid)}`).join(", ");
  for (let hasSaid = false; ; ) {
    const last = latest(name, folder);
    const holder = last === 0 ? undefined : holderOf(join(folder, `${name}.${last}`));
    if (!holder) {
      const mine = last + 1;
      if (link(me, join(folder, `${name}.${mine}`)) && latest(name, folder) === mine) {
        for (const number of numbers(name, folder))
          if (number < mine) rmSync(join(folder, `${name}.${number}`), { force: true });
        return () => free(folder, `${name}.${mine}`);
      }
      continue;
    }
    if (isStopping()) throw new Failure(`Not waiting for '${name}': we are ending.`);
    if (!hasSaid)
      say(dim(`· Waiting for another command of this folder (process ${holder.pid}): ${name}`));
    hasSaid = true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Renamed into place, because a link cannot be changed and must not be missing. */
function free(folder, name) {
  const temporary = join(folder, `.${name}.${process.pid}`);
  rmSync(temporary, { force: true });
  symlinkSync(FREE, temporary);
  renameSync(temporary, join(folder, name));
}

const latest = (name, folder) => Math.max(0, ...numbers(name, folder));

const numbers = (name, folder) =>
  readdirSync(folder)
    .filter((entry) => entry.startsWith(`${name}.`))
    .map((entry) => Number(entry.slice(name.length + 1)))
    .filter(Number.isInteger);

/** True if the link was made, false if somebody else has made it. */
function link(target, path) {
  try {
    symlinkSync(target, path);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** The process that holds a lock; undefined if none does. */
function holderOf(path) {
  let target;
  try {
    target = readlinkSync(path);
  } catch (error) {
    // Removed by the holder of a greater number.
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
  if (target === FREE) return undefined;
  const processes = target.split(", ").map((one) => one.match(/^(\d+) (.*)$/) ?? []);
  return processes.some(([, pid, started]) => pid && isRunning({ pid: Number(pid), started }))
    ? { pid: processes[0][1] }
    : undefined;
}

/**
 * When a process started, in a form that only compares; undefined if it is not there, or is a
 * zombie.
 */
function startOf(pid) {
  try {
    if (process.platform === "linux") {
      // Fields 3 and 22 of /proc/PID/stat (proc(5)), counted after the command name, which may hold
      // blanks and brackets.
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
    }
    const [state, ...started] = execFileSync("ps", ["-o", "state=,lstart=", "-p", String(pid)], {
      encoding: "utf8",
    })
      .trim()
      .split(/\s+/);
    return state.startsWith("Z") ? undefined : started.join(" ");
  } catch {
    return undefined;
  }
}
