// Runs `clawfront doctor` on settings of a test.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { CLI, ROOT } from "../../scripts/paths.mjs";
import { newDevice, newKey } from "./front.mjs";

export const SECRETS = { GATEWAY_TOKEN: "s3cret-token", DEVICE_KEY: newDevice().device_key };
export const phone = newKey("phone", "main,beta");
export const operator = newKey("operator", "main", "--scopes", "status");

export let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-doctor-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Every code that a test of this file has seen, with the checks that reported it. */
export const told = new Map();
let files = 0;
/**
 * Runs it on these variables; `{ code, stdout, stderr, checks }`. Whatever it says, it says no
 * secret.
 */
export async function doctor(vars, args = [], env = {}) {
  files += 1;
  const file = join(folder, `${files}.vars`);
  const text = Object.entries({ CLIENT_KEYS: phone.entry, ...SECRETS, ...vars })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}='${value}'\n`);
  writeFileSync(file, text.join(""));
  const all = ["doctor", "--file", file, "--config", join(ROOT, "wrangler.toml"), ...args];
  const run = (more) =>
    new Promise((resolve) => {
      execFile(
        CLI,
        [...all, ...more],
        { encoding: "utf8", cwd: folder, env: { ...process.env, ...env } },
        (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }),
      );
    });
  const result = await run(["--json"]);
  for (const secret of [
    ...Object.values(SECRETS),
    vars.DEVICE_TOKEN,
    phone.key,
    operator.key,
    "s3cret",
    phone.entry.match(/sha256:(\w+)/)[1],
  ].filter(Boolean)) {
    assert.ok(!(result.stdout + result.stderr).includes(secret), `${secret} in ${result.stdout}`);
  }
  const checks = result.stdout
    ? Object.fromEntries(JSON.parse(result.stdout).checks.map((check) => [check.name, check]))
    : {};
  for (const { name, code } of Object.values(checks))
    if (code) told.set(code, (told.get(code) ?? new Set()).add(name));
  return { ...result, checks, text: () => run([]) };
}
