// Starts the simulated gateway for a Worker in front of it, and makes a key for that Worker.

import { randomBytes } from "node:crypto";
import { collect, reasonOf, run, start } from "./processes.mjs";
import { Failure, step } from "./steps.mjs";

/**
 * Returns `{ name, url, vars, ended }`: a name to show, the gateway's address, the Worker's bindings
 * for it, and a promise that resolves if it ends. `native` has the paths of the native programs, here
 * and below.
 */
export async function startSimulated(native) {
  const token = freshToken();
  return step("Simulated gateway", async () => {
    // It ends when its standard input does, that is, with us, however we end.
    const child = start(native.sim, ["--json", "--exit-with-stdin"], {
      env: { ...process.env, SIM_TOKEN: token },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const output = [];
    collect(child.stderr, (line) => output.push(line));
    const firstLine = new Promise((resolve) => collect(child.stdout, resolve));
    const line = await Promise.race([firstLine, child.ended]);
    if (typeof line !== "string")
      throw new Failure(`it ended while starting (${reasonOf(line)}).`, {
        output: output.join("\n"),
      });
    const { url } = JSON.parse(line);
    return {
      name: "simulated",
      url,
      vars: { GATEWAY_URL: url, GATEWAY_TOKEN: token },
      ended: child.ended,
    };
  });
}

/**
 * A fresh client key with these options of `clawfront keys new`: `{ id, key, entry }`; only `entry`,
 * which holds a hash, goes to the Worker. It is made in no list: standard input is empty.
 */
export async function newClientKey(id, options, native) {
  const args = ["keys", "new", "--file", "-", "--id", id, ...options, "--json"];
  return JSON.parse(await run(native.cli, args));
}

/** Makes what the hub needs to make keys: `{ secret, key, entry }`. */
export async function newAdministrator(native) {
  const made = await newClientKey("ops", ["--scopes", "admin"], native);
  return { ...made, secret: freshToken() };
}

export const freshToken = () => randomBytes(TOKEN_BYTES).toString("hex");
const TOKEN_BYTES = 24;
