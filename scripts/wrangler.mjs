// `wrangler dev` as `npm start` runs it: on one loopback port, with its own folder for state and secrets, and without the internet.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE, ROOT } from "./paths.mjs";
import { collect, start } from "./processes.mjs";
import { findNode } from "./setup.mjs";
import { Failure } from "./steps.mjs";

/** A folder of this run's own, readable only by its user. One that a crash left behind is emptied. */
export function runFolder(port) {
  const folder = join(CACHE, `dev-${port}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** Asked for once everything that writes there is running: what ends those at our exit must come before this. */
export function removeAtExit(folder) {
  process.on("exit", () => {
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: REMOVE_RETRIES });
    } catch {
      // The next run on this port empties it.
    }
  });
}

/**
 * Serves the built Worker. `devVars` is the text of a `.dev.vars` file: secrets go through a file, an argument would be in every
 * process list. Resolves once the Worker answers; `onLine` gets what wrangler and the Worker print.
 * @returns the child process; its `ended` says when it stopped serving.
 */
export async function startWrangler({ port, folder, devVars, env, onLine }) {
  writeFileSync(join(folder, "wrangler.toml"), projectConfig());
  writeFileSync(join(folder, ".dev.vars"), devVars, { mode: 0o600 });
  const child = start(findNode(), [join(ROOT, "node_modules/wrangler/bin/wrangler.js"), "dev", ...ARGS, "--port", String(port), "--config", join(folder, "wrangler.toml")], {
    cwd: ROOT,
    env: { ...env, ...QUIET, WRANGLER_LOG_PATH: join(folder, "logs"), WRANGLER_REGISTRY_PATH: join(folder, "registry"), WRANGLER_CACHE_DIR: join(folder, "cache") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = [];
  const ready = new Promise((resolve) => {
    const take = (line) => {
      output.push(line);
      onLine(line);
      if (line.includes("Ready on ")) resolve("ready");
    };
    collect(child.stdout, take);
    collect(child.stderr, take);
  });
  const limit = new Promise((resolve) => setTimeout(resolve, START_LIMIT_MS).unref());
  if ((await Promise.race([ready, child.ended, limit])) !== "ready") {
    throw new Failure("`wrangler dev` did not start.", { output: output.join("\n"), mend: "its own message is above." });
  }
  return child;
}

/** Port 0 for the inspector is any free one: two of these run side by side. */
const ARGS = ["--ip", "127.0.0.1", "--inspector-port", "0", "--show-interactive-dev-session=false"];
/** No questions, no usage report, no look-up of this machine's place in the world, no banner that asks for an update. */
const QUIET = { CI: "1", WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false", WRANGLER_HIDE_BANNER: "true", NO_COLOR: "1" };
/** Two seconds on an idle machine. */
const START_LIMIT_MS = 90_000;
const REMOVE_RETRIES = 3;

/** The project's configuration, for a file that lies elsewhere: wrangler reads `.dev.vars` and keeps its state beside the file it is given. */
function projectConfig() {
  return readFileSync(join(ROOT, "wrangler.toml"), "utf8")
    .replace(/^main = "(.+)"$/m, (_, path) => `main = ${JSON.stringify(join(ROOT, path))}`)
    .replace(/^\[build\]$/m, `[build]\ncwd = ${JSON.stringify(ROOT)}`)
    .replace(/^watch_dir = (\[.+\])$/m, (_, paths) => `watch_dir = ${JSON.stringify(JSON.parse(paths).map((path) => join(ROOT, path)))}`);
}
