// Names the process that listens on a port, for the message that the port is in use.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";

/** Returns the error that listening on a port of 127.0.0.1 ends with, or undefined. */
export function errorOfListening(port) {
  return new Promise((resolve) => {
    const server = createServer()
      .once("error", resolve)
      .listen(port, "127.0.0.1", () => server.close(() => resolve(undefined)));
  });
}

/**
 * Returns `{ pid, group, name }` of a process that listens on a port of this machine; undefined
 * where this user may not see it.
 */
export function holderOf(port) {
  try {
    const pid =
      process.platform === "linux"
        ? holderOnLinux(port)
        : Number(
            execFileSync("lsof", ["-nP", "-t", `-iTCP:${port}`, "-sTCP:LISTEN"], {
              encoding: "utf8",
            }).split("\n")[0],
          );
    if (!pid) return undefined;
    const [group, name] = execFileSync("ps", ["-o", "pgid=,comm=", "-p", String(pid)], {
      encoding: "utf8",
    })
      .trim()
      .split(/\s+(.*)/);
    return { pid, group: Number(group), name: name.split("/").at(-1) };
  } catch {
    return undefined;
  }
}

/**
 * /proc/net/tcp names the socket of a port, and /proc/PID/fd the sockets of a process (proc(5)).
 */
function holderOnLinux(port) {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  const sockets = ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "latin1")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => local?.endsWith(`:${wanted}`) && state === LISTENING)
      .map((fields) => `socket:[${fields[9]}]`),
  );
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => openFiles(pid).some((file) => sockets.includes(file)));
}

const LISTENING = "0A";

function openFiles(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return "";
      }
    });
  } catch {
    // Another user's, or gone.
    return [];
  }
}
