// Records that something was made of given inputs and has not changed since. A stamp is removed
// before the work begins and written when it has ended, so interrupted work has no stamp. It also
// has a hash of the result, so a folder that was changed or broken is made again.

import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { exclusively } from "./locks.mjs";

/**
 * Makes something, unless it exists already, in one process at a time.
 * @param stamp the stamp's path; `inputs` is a text that differs where the result would;
 *   `outputs` returns one of the result; `make` does the work.
 * @returns whether there was work to do.
 */
export async function ensure({ name, stamp, inputs, outputs, make }) {
  const isThere = () => {
    const kept = read(stamp);
    return kept !== undefined && kept.inputs === inputs && kept.outputs === attempt(outputs);
  };
  if (isThere()) return false;
  return exclusively(name, async () => {
    // By another process, while we waited.
    if (isThere()) return false;
    rmSync(stamp, { force: true });
    await make();
    write(stamp, { inputs, outputs: outputs() });
    return true;
  });
}

/** A hash of files' and folders' contents. */
export function hashOf(root, paths) {
  const hash = createHash("sha256");
  const add = (path) => {
    const full = join(root, path);
    if (statSync(full).isDirectory()) {
      for (const name of readdirSync(full).sort()) add(join(path, name));
    } else {
      const bytes = readFileSync(full);
      hash.update(`${path} ${bytes.length}\n`).update(bytes);
    }
  };
  paths.forEach(add);
  return hash.digest("hex");
}

/**
 * A hash of the names of all files below a folder, and of the packages' versions: quick for
 * thousands of them, and another if one is missing.
 */
export function hashOfPackages(folder) {
  const hash = createHash("sha256");
  const walk = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      if (CHANGING.has(entry.name)) continue;
      const full = join(path, entry.name);
      hash.update(`${entry.name}\n`);
      if (entry.isDirectory()) walk(full);
      else if (entry.name === "package.json") hash.update(readFileSync(full));
    }
    hash.update("/\n");
  };
  walk(folder);
  return hash.digest("hex");
}

/** The files that programs write into `node_modules` when they run, and the stamp. */
const CHANGING = new Set([".clawfront-installed", ".cache", ".mf", ".wrangler", "__pycache__"]);

function read(stamp) {
  try {
    return JSON.parse(readFileSync(stamp, "utf8"));
  } catch {
    return undefined;
  }
}

/** Renamed into place, so that a stamp is whole or not there. */
function write(stamp, content) {
  mkdirSync(dirname(stamp), { recursive: true });
  const partial = `${stamp}.${process.pid}.partial`;
  writeFileSync(partial, JSON.stringify(content));
  renameSync(partial, stamp);
}

function attempt(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/**
 * Removes the files that interrupted work has left in a folder. Its callers hold the lock, so no
 * other process works there.
 */
export function sweep(folder) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder))
    if (name.endsWith(".partial")) rmSync(join(folder, name), { recursive: true, force: true });
}
