// Writes the `wrangler.toml` of a folder that has none: the package's, with the way to its Worker.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { dim, Failure, say } from "../scripts/steps.mjs";
import { PACKAGE } from "./native.mjs";

/**
 * Makes `wrangler.toml` in the current folder, unless it is there, or the arguments name another
 * one or ask for help. `setup` works without it, in a folder that does not have the package.
 */
export function ensureConfiguration(command, args) {
  const isOther = args.some((arg) => /^(?:--config(?:=|$)|--help$|-h$)/.test(arg));
  const path = join(process.cwd(), "wrangler.toml");
  if (isOther || existsSync(path)) return;
  const folder = installed();
  if (!folder) {
    if (command === "setup") return;
    throw new Failure("The package clawfront is not installed in this folder or above it.", {
      fix: "run `npm install` with the files of the release here; wrangler.toml names the Worker in it.",
    });
  }
  const text = readFileSync(join(PACKAGE, "wrangler.toml"), "utf8");
  const here = (name) => JSON.stringify(relative(process.cwd(), join(folder, name)));
  const own = text
    .replace(/^main = .+$/m, `main = ${here("worker/index.js")}`)
    .replace(/^directory = .+$/m, `directory = ${here("assets")}`);
  writeFileSync(path, own, { flag: "wx" });
  say(dim("· wrangler.toml is new: the configuration of the Worker, for Cloudflare."));
}

/**
 * Returns the folder of the package as the current folder has it, if it does. A package in npm's
 * cache (`npx` without an installation) would be gone at the next deployment.
 */
function installed() {
  try {
    const own = createRequire(join(process.cwd(), "package.json"));
    return dirname(own.resolve("clawfront/package.json"));
  } catch {
    return undefined;
  }
}
