// Runs `clawfront deploy` against a stand-in of Cloudflare's API.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUILD, ROOT } from "../../scripts/paths.mjs";
import { wranglerFor } from "./cloudflare.mjs";
import { clawfront as run } from "./command.mjs";
import { temporaryFolder } from "./folder.mjs";

export const TOKEN = "s3cret-token";

const folder = temporaryFolder("deploy");

/** Runs the command in a folder; the result has `steps`, such as `["done", "upload"]`. */
export async function clawfront(args, { cwd, env }) {
  const ended = await run(args, { cwd, env: { ...process.env, ...env } });
  const lines = ended.stderr.matchAll(/^(done|skipped) +(\S+)/gm);
  return { ...ended, steps: [...lines].map(([, ...step]) => step) };
}

/**
 * Makes a project: the built Worker, static files, a configuration whose build does nothing, and a
 * wrangler that sends its requests to `api`.
 */
export function project(name, api) {
  const cwd = mkdtempSync(join(folder, `${name}-`));
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  cpSync(join(ROOT, "assets"), join(cwd, "assets"), { recursive: true });
  writeFileSync(
    join(cwd, "wrangler.toml"),
    toml
      .replace(/^main = .*$/m, `main = ${JSON.stringify(join(BUILD, "index.js"))}`)
      .replace(/^command = .*$/m, 'command = "echo built > built"')
      .replace(/^watch_dir.*$/m, ""),
  );
  return { cwd, env: wranglerFor(cwd, api) };
}

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
