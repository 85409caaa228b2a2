// Lets one server at a time use a folder of data. The lock is a socket that its holder listens at:
// it is free when the holder has ended in any way, also in a container, where numbers of processes
// mean nothing to others.

import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { relative } from "node:path";
import { Failure } from "../scripts/steps.mjs";

/** Takes the lock for the life of this process. */
export async function lockData(folder) {
  // A relative path: the address of a socket has at most 107 bytes.
  const path = relative(process.cwd(), `${folder}/lock`);
  if (await listens(path)) return;
  if (await answers(path))
    throw new Failure(`Another \`clawfront serve\` uses ${folder}.`, {
      fix: "end that one, or choose another folder with --data.",
    });
  // Its holder was killed.
  rmSync(path, { force: true });
  if (!(await listens(path)))
    throw new Failure(`Another \`clawfront serve\` has just begun to use ${folder}.`);
}

function listens(path) {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error) =>
      error.code === "EADDRINUSE" ? resolve(false) : reject(unusable(error)),
    );
    server.listen(path, () => resolve(true)).unref();
  });
}

function answers(path) {
  return new Promise((resolve) => {
    const socket = connect(path, () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

const unusable = (error) =>
  new Failure(`The folder of data cannot be used: ${error.message}.`, {
    fix: "choose one with --data that this user can write.",
  });
