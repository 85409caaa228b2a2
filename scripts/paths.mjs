// Where things are. Everything a script makes goes below `.cache`, `build`, `target` or
// `node_modules`, all of them ignored by git.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
export const CACHE = join(ROOT, ".cache");
export const BUILD = join(ROOT, "build");
/** Where `buildNative` keeps the paths that cargo gave. */
export const NATIVE = join(CACHE, "native.json");

/** The programs for tests, which run when they are built. */
export const { sim: SIM, cli: CLI } = native();

function native() {
  try {
    return JSON.parse(readFileSync(NATIVE, "utf8"));
  } catch {
    // No script has built them yet. These are cargo's default paths.
    return {
      sim: join(ROOT, "target/debug/clawfront-sim"),
      cli: join(ROOT, "target/debug/clawfront"),
    };
  }
}
