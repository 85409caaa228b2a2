// Runs `clawfront keys` in folders that are removed after the tests.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { CLI } from "../../scripts/paths.mjs";

/** Blanks, an apostrophe, and the beginning of a comment; in its entry it is in double quotes. */
export const LABEL = "Anna's old phone # 2";

export const KEY = /claw_[a-z0-9-]+_[a-z2-7]{32}/;

export let folder;

before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-keys-"))));

after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `clawfront keys …` in a folder. `onStderr` receives what it has printed, and its process. */
export function keys(args, { cwd = folder, input = "", env = {}, onStderr = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(CLI, ["keys", ...args], { cwd, env: { ...process.env, ...env } });
    const seen = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"])
      child[name].setEncoding("utf8").on("data", (text) => (seen[name] += text));
    child.stderr.on("data", () => onStderr(seen.stderr, child));
    child.on("error", reject).on("close", (code) => resolve({ code, ...seen }));
    child.stdin.on("error", () => {}).end(input);
  });
}

/** The same for a command that succeeds, with its JSON. */
export async function json(args, options) {
  const { code, stdout, stderr } = await keys([...args, "--json"], options);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  return JSON.parse(stdout);
}

/** A folder of a test's own. */
export function own(name) {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}
