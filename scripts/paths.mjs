// Where things are. Everything a script makes goes below `.cache`, `build`, `target` or `node_modules`, all of them ignored by git.

import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
export const CACHE = join(ROOT, ".cache");
export const BUILD = join(ROOT, "build");
export const SIM = join(ROOT, "target/debug/clawfront-sim");
export const CLI = join(ROOT, "target/debug/clawfront");
