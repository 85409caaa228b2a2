// Runs `clawfront deploy` with the real wrangler, a stand-in of Cloudflare's API, and the uploaded
// Worker in workerd.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { BUILD, CLI, ROOT } from "../../scripts/paths.mjs";
import { wranglerFor } from "./cloudflare.mjs";

export const TOKEN = "s3cret-token";

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-deploy-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Runs the command in a folder; `{ code, stdout, stderr, steps }`, the steps as `["done",
 * "upload"]`.
 */
export function clawfront(args, { cwd, env }) {
  return new Promise((resolve, reject) => {
    const child = spawn(CLI, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const seen = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"])
      child[name].setEncoding("utf8").on("data", (text) => (seen[name] += text));
    child.on("error", reject).on("close", (code) =>
      resolve({
        code,
        ...seen,
        steps: [...seen.stderr.matchAll(/^(done|skipped) +(\S+)/gm)].map(([, ...step]) => step),
      }),
    );
  });
}

/**
 * Makes a project: the built Worker with a configuration whose build does nothing, and a wrangler
 * that sends its requests to `api`.
 */
export function project(name, api) {
  const cwd = mkdtempSync(join(folder, `${name}-`));
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  writeFileSync(
    join(cwd, "wrangler.toml"),
    toml
      .replace(/^main = .*$/m, `main = ${JSON.stringify(join(BUILD, "index.js"))}`)
      .replace(/^command = .*$/m, 'command = "echo built > built"')
      .replace(/^watch_dir.*$/m, ""),
  );
  return { cwd, env: wranglerFor(cwd, api) };
}

export const variables = ({ cwd }) =>
  Object.fromEntries(
    [
      ...readFileSync(join(cwd, ".dev.vars"), "utf8").matchAll(
        /^([A-Z_0-9]+)=(['"`]?)([\s\S]*?)\2$/gm,
      ),
    ].map(([, name, , value]) => [name, value]),
  );

/** Fails if one of these was an argument, in the environment, or in wrangler's logs. */
export function assertUnseen(secrets, { cwd }) {
  const logs = readdirSync(join(cwd, "logs")).map((name) =>
    readFileSync(join(cwd, "logs", name), "utf8"),
  );
  for (const text of [
    readFileSync(join(cwd, "argv"), "utf8"),
    readFileSync(join(cwd, "env"), "utf8"),
    ...logs,
  ]) {
    for (const secret of secrets) assert.ok(!text.includes(secret));
    assert.ok(!/sha256:[0-9a-f]{64}/.test(text));
  }
}
