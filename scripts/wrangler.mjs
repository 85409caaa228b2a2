// `wrangler dev` as `npm start` runs it: on one loopback port, with its own folder for state and
// secrets, and without the internet.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRunning, self } from "./locks.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { collect, reasonOf, removeWhenGone, start } from "./processes.mjs";
import { findNode, wranglerFolders } from "./setup.mjs";
import { Failure } from "./steps.mjs";

/**
 * Returns a folder of this run alone, readable only by its user: no other run writes into it or
 * removes it. It is removed when this process ends, even by a kill. Folders that a crash of the
 * machine has left are removed now.
 */
export function runFolder(port) {
  for (const { folder, owner } of runs())
    if (!isRunning(owner)) rmSync(folder, { recursive: true, force: true });
  const { pid, started } = self();
  const folder = join(CACHE, `dev-${port}-${pid}-${encodeURIComponent(started)}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  removeWhenGone(folder);
  return folder;
}

/** The runs of this checkout that have a folder: `{ folder, port, owner: { pid, started } }`. */
export function runs() {
  if (!existsSync(CACHE)) return [];
  return readdirSync(CACHE).flatMap((name) => {
    const [, port, pid, started] = name.match(/^dev-(\d+)-(\d+)-(.+)$/) ?? [];
    return pid
      ? [
          {
            folder: join(CACHE, name),
            port: Number(port),
            owner: { pid: Number(pid), started: decodeURIComponent(started) },
          },
        ]
      : [];
  });
}

/**
 * Call it after everything that writes there is running: exit handlers run in the order of their
 * registration, and the writers must end first.
 */
export function removeAtExit(folder) {
  process.on("exit", () => {
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: REMOVE_RETRIES });
    } catch {
      // The next run removes it.
    }
  });
}

/**
 * Serves the built Worker. `devVars` is the text of a `.dev.vars` file: secrets go through a
 * file, because an argument would be in every process list. Resolves once the Worker answers;
 * `onLine` gets the output of wrangler and the Worker.
 * @returns the child process; its `ended` resolves when it stopped serving, and `reload` serves
 *   the Worker with another text.
 */
export async function startWrangler({ port, folder, devVars, env, onLine }) {
  const write = (devVars) => {
    writeFileSync(join(folder, ".dev.vars"), devVars, { mode: 0o600 });
    // wrangler 4.164 watches its configuration alone, and reads the other file again when that one
    // is written.
    writeFileSync(join(folder, "wrangler.toml"), projectConfig());
  };
  write(devVars);
  const child = start(
    findNode(),
    [
      join(ROOT, "node_modules/wrangler/bin/wrangler.js"),
      "dev",
      ...ARGS,
      "--port",
      String(port),
      "--config",
      join(folder, "wrangler.toml"),
    ],
    {
      cwd: ROOT,
      env: {
        ...env,
        ...QUIET,
        ...wranglerFolders(),
        WRANGLER_LOG_PATH: join(folder, "logs"),
        WRANGLER_REGISTRY_PATH: join(folder, "registry"),
        WRANGLER_CACHE_DIR: join(folder, "cache"),
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
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
  const first = await Promise.race([ready, child.ended, limit]);
  if (first !== "ready") {
    const reason = first ? reasonOf(first) : `it was not ready after ${START_LIMIT_MS / 1000} s`;
    throw new Failure(`\`wrangler dev\` did not start (${reason}).`, {
      output: output.join("\n"),
      fix: output.length > 0 ? "its own message is above." : undefined,
    });
  }
  child.reload = write;
  return child;
}

/** Port 0 for the inspector is any free one: two of these run side by side. */
const ARGS = ["--ip", "127.0.0.1", "--inspector-port", "0", "--show-interactive-dev-session=false"];
/**
 * No questions, no usage report, no look-up of this machine's place in the world, no banner that
 * asks for an update.
 */
const QUIET = {
  CI: "1",
  WRANGLER_SEND_METRICS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_HIDE_BANNER: "true",
  NO_COLOR: "1",
};
/** Two seconds on an idle machine. */
const START_LIMIT_MS = 90_000;
const REMOVE_RETRIES = 3;

/**
 * The project's configuration, for a file that lies elsewhere: wrangler reads `.dev.vars` and keeps
 * its state beside the file it is given.
 */
function projectConfig() {
  return readFileSync(join(ROOT, "wrangler.toml"), "utf8")
    .replace(/^main = "(.+)"$/m, (_, path) => `main = ${JSON.stringify(join(ROOT, path))}`)
    .replace(
      /^directory = "(.+)"$/m,
      (_, path) => `directory = ${JSON.stringify(join(ROOT, path))}`,
    )
    .replace(/^\[build\]$/m, `[build]\ncwd = ${JSON.stringify(ROOT)}`)
    .replace(
      /^watch_dir = (\[.+\])$/m,
      (_, paths) =>
        `watch_dir = ${JSON.stringify(JSON.parse(paths).map((path) => join(ROOT, path)))}`,
    );
}
