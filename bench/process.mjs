// Measures the CPU time and memory of processes, as Linux counts them.

import { existsSync, readdirSync, readFileSync } from "node:fs";

const NS_PER_US = 1_000;
const BYTES_PER_KIB = 1_024;

/** CPU time of all threads of a process so far, those that ended not counted, in microseconds. */
export function cpuUs(pid) {
  let ns = 0n;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${task}/schedstat`;
    // A thread may end between the two looks.
    if (existsSync(path)) ns += BigInt(readFileSync(path, "utf8").split(" ", 1)[0]);
  }
  return Number(ns) / NS_PER_US;
}

/** Resident memory, in bytes. */
export function residentBytes(pid) {
  const kib = readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+) kB$/m)?.[1];
  return Number(kib) * BYTES_PER_KIB;
}

/**
 * Runs `work` and returns its result with the CPU time of the processes `pids`: `{ result, us: [per
 * pid], seconds }`.
 */
export async function costOf(pids, work) {
  const before = pids.map(cpuUs);
  const startedMs = performance.now();
  const result = await work();
  const seconds = (performance.now() - startedMs) / 1_000;
  return { result, us: pids.map((pid, index) => cpuUs(pid) - before[index]), seconds };
}

/** A process and all that it has started and that is still there. */
export function processTree(pid) {
  const tree = [pid];
  const children = Map.groupBy(runningProcesses(), ({ parentPid }) => parentPid);
  for (const parent of tree) tree.push(...(children.get(parent) ?? []).map((child) => child.pid));
  return tree;
}

/**
 * `[{ pid, parentPid }]`, from field 4 of /proc/PID/stat (proc(5)), counted after the command name,
 * which may hold blanks and brackets.
 */
function runningProcesses() {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        return [
          {
            pid: Number(name),
            parentPid: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]),
          },
        ];
      } catch {
        // It ended between the two looks.
        return [];
      }
    });
}
