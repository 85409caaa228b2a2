// Runs `clawfront doctor` on settings of a test.

import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT } from "../../scripts/paths.mjs";
import { checksOf, clawfront } from "./command.mjs";
import { writeVariables } from "./dev-vars.mjs";
import { temporaryFolder } from "./folder.mjs";
import { newDevice, newKey } from "./front.mjs";

export const SECRETS = { GATEWAY_TOKEN: "s3cret-token", DEVICE_KEY: newDevice().device_key };
export const phone = newKey("phone", "main,beta");
export const operator = newKey("operator", "main", "--scopes", "status");

export const folder = temporaryFolder("doctor");

/** The codes that have been reported so far, each with the names of its checks. */
export const reported = new Map();
let files = 0;
/**
 * Runs it with these settings: `{ code, stdout, stderr, checks, text }`, where `text` runs it again
 * without `--json`. Fails if a secret is in the output.
 */
export async function doctor(vars, args = [], env = {}) {
  files += 1;
  const file = join(folder, `${files}.vars`);
  writeVariables(file, { CLIENT_KEYS: phone.entry, ...SECRETS, ...vars });
  const all = ["doctor", "--file", file, "--config", join(ROOT, "wrangler.toml"), ...args];
  const run = (more) =>
    clawfront([...all, ...more], { cwd: folder, env: { ...process.env, ...env } });
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
  const checks = result.stdout ? checksOf(result.stdout) : {};
  for (const { name, code } of Object.values(checks))
    if (code) reported.set(code, (reported.get(code) ?? new Set()).add(name));
  return { ...result, checks, text: () => run([]) };
}
