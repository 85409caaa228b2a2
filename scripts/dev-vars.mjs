// `.dev.vars`, read as wrangler reads it: with the package dotenv, at the version that wrangler
// bundles.

import { existsSync, readFileSync, watchFile } from "node:fs";
import { Failure } from "./steps.mjs";

/** One of these is a credential of the gateway. */
const CREDENTIALS = ["GATEWAY_TOKEN", "GATEWAY_PASSWORD", "DEVICE_TOKEN"];

/**
 * Reads the settings of the gateway: `{ name, url, devVars, hasClientKeys, hasKeysSecret }`, or
 * `undefined` where the file does not exist or has no GATEWAY_URL. The file is never written. The
 * npm packages must be installed.
 */
export async function readGateway(file, note) {
  if (!existsSync(file)) return undefined;
  const devVars = readFileSync(file, "utf8");
  const { parse } = (await import("dotenv")).default;
  const vars = parse(devVars);
  if (!vars.GATEWAY_URL) {
    note(".dev.vars has no GATEWAY_URL and is not used: this run uses the simulated gateway.");
    return undefined;
  }
  if (!CREDENTIALS.some((name) => vars[name])) {
    throw new Failure(".dev.vars names GATEWAY_URL but no credential for it.", {
      fix: "add DEVICE_KEY and DEVICE_TOKEN (`npm run clawfront -- device --help`) or GATEWAY_TOKEN.",
    });
  }
  return {
    name: vars.GATEWAY_URL,
    url: vars.GATEWAY_URL,
    devVars,
    hasKeysSecret: Boolean(vars.KEYS_SECRET),
    hasClientKeys: Object.keys(vars).some((name) => /^CLIENT_KEYS(_\d+)?$/.test(name)),
  };
}

/**
 * Calls `changed` with the gateway of the file each time its text is another one than before,
 * `used` being the first. Where it names no gateway any more, or is not there, `note` gets the
 * reason and the last one stays. A command that replaces the file at once is seen as well as one
 * that writes into it.
 */
export function watchGateway(file, used, note, changed) {
  let last = used;
  const look = async () => {
    const text = existsSync(file) ? readFileSync(file, "utf8") : undefined;
    if (text === last) return;
    last = text;
    try {
      const gateway = await readGateway(file, () => {});
      if (gateway) changed(gateway);
      else note(`${file} names no gateway any more: this run keeps the one that it had.`);
    } catch (error) {
      note(`${error.message} This run keeps the settings that it had.`);
    }
  };
  watchFile(file, { interval: LOOK_MS, persistent: false }, look);
  // It may have changed since it was read.
  look();
}

/**
 * Between two looks at the file: by name, so that it makes no difference by whom and how it is
 * replaced.
 */
const LOOK_MS = 250;
