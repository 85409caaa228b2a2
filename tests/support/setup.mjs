// Runs `clawfront setup` in folders that are removed after the tests.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { CLI } from "../../scripts/paths.mjs";
import { collect } from "../../scripts/processes.mjs";

export const TOKEN = "s3cret-token";

export const KEY = /claw_[a-z0-9-]+_[a-z2-7]{32}/g;

export let folder;

before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-setup-"))));

after(() => rmSync(folder, { recursive: true, force: true }));

/** A folder of a test's own, with these lines in its `.dev.vars`. */
export function own(name, text) {
  const cwd = mkdtempSync(join(folder, `${name}-`));
  if (text !== undefined) writeFileSync(join(cwd, ".dev.vars"), text);
  return cwd;
}

export const variables = (cwd) =>
  Object.fromEntries(
    [
      ...readFileSync(join(cwd, ".dev.vars"), "utf8").matchAll(
        /^([A-Z_0-9]+)=(['"`]?)([\s\S]*?)\2$/gm,
      ),
    ].map(([, name, , value]) => [name, value]),
  );

/** Returns the environment without the variables that setup would read. */
export function clean() {
  const env = { ...process.env };
  for (const name of ["GATEWAY_TOKEN", "GATEWAY_PASSWORD", "DEVICE_KEY", "DEVICE_TOKEN"])
    delete env[name];
  return env;
}

/** Runs it without a terminal; `{ code, stdout, stderr, said }`. */
export function setup(cwd, args, env = {}) {
  const child = spawn(CLI, ["setup", ...args], {
    cwd,
    env: { ...clean(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, said] = [[], []];
  collect(child.stdout, (line) => stdout.push(line));
  collect(child.stderr, (line) => said.push(line));
  const ended = new Promise((resolve) =>
    child.on("close", (code) =>
      resolve({ code, stdout: stdout.join("\n"), stderr: said.join("\n") }),
    ),
  );
  return { child, said, ended };
}

export const run = (...args) => setup(...args).ended;

export const FIRST_KEY = ["--key", "phone", "--agents", "main"];
