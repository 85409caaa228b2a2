// The settings of `clawfront serve`: a dotenv file, read as wrangler reads it, and the environment,
// which takes precedence.

import { existsSync, readFileSync, watchFile } from "node:fs";
import { parse } from "dotenv";
import { Failure } from "../scripts/steps.mjs";

/** The settings of the Worker. `tests/package/settings.test.mjs` compares them with its code. */
export const NAMES = [
  "GATEWAY_URL",
  "GATEWAY_TOKEN",
  "GATEWAY_PASSWORD",
  "DEVICE_KEY",
  "DEVICE_TOKEN",
  "ACCESS_CLIENT_ID",
  "ACCESS_CLIENT_SECRET",
  "GATEWAY_HEADERS",
  "GATEWAY_SCOPES",
  "GATEWAY_PLAINTEXT",
  "GATEWAY_HTTP",
  "GATEWAY_HTTP_USER",
  "LOCATION_HINT",
  "LINK_IDLE",
  "GATEWAY_RUNS",
  "STORE_DAYS",
  "PUBLIC_URL",
  "KEYS_SECRET",
  "MODEL_ALIASES",
  "CLIENT_KEYS",
  ...[2, 3, 4, 5, 6, 7, 8, 9].map((number) => `CLIENT_KEYS_${number}`),
];

/** Returns the settings by name. */
export function readSettings(file, env = process.env) {
  const own = existsSync(file) ? parse(readFileSync(file, "utf8")) : {};
  const settings = Object.fromEntries(
    NAMES.map((name) => [name, env[name] ?? own[name]]).filter(([, value]) => value?.trim()),
  );
  if (!settings.GATEWAY_URL)
    throw new Failure(`Neither ${file} nor the environment has GATEWAY_URL.`, {
      fix: "run `clawfront setup` in this folder, or name the file with --file.",
    });
  return settings;
}

/**
 * Calls `changed` with the settings each time they are others than before, `used` being the first.
 * Where the file names no gateway, or cannot be read, `note` gets the reason.
 */
export function watchSettings(file, used, note, changed) {
  let last = JSON.stringify(used);
  watchFile(file, { interval: LOOK_MS, persistent: false }, () => {
    try {
      const settings = readSettings(file);
      const text = JSON.stringify(settings);
      if (text === last) return;
      last = text;
      changed(settings);
    } catch (error) {
      note(`${error.message} The settings stay as they were.`);
    }
  });
}

/** Between two looks at the file: by name, because commands replace the file. */
const LOOK_MS = 250;
