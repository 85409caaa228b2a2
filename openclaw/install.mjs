// Installs the real OpenClaw from a committed lockfile into a cache folder. A cache folder, not a
// devDependency: each version is about 500 MB and most checkouts never need it.

import { existsSync, readdirSync, unlinkSync } from "node:fs";
import { cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CACHE } from "../scripts/paths.mjs";
import { run as runToItsEnd } from "../scripts/processes.mjs";
import { npmEnvironment } from "../scripts/setup.mjs";
import { ensure, hashOf, hashOfPackages } from "../scripts/stamps.mjs";

export const VERSIONS = ["2026.9.6", "2026.3.13"];

/**
 * Makes `version` available under `.cache/openclaw/<version>/` and says where it starts.
 *
 * An installation of exactly this manifest and lockfile is used as it is; anything else there is
 * replaced. `node` is the binary that will run the gateway; the new installation is tried with it
 * once.
 */
export async function installOpenClaw(version, { node = process.execPath, log = () => {} } = {}) {
  if (!VERSIONS.includes(version)) {
    throw new Error(`OpenClaw ${version} is not set up here; choose one of ${VERSIONS.join(", ")}`);
  }
  const source = join(HERE, version);
  const target = join(CACHE, "openclaw", version);
  const entry = join(target, "node_modules", "openclaw", "openclaw.mjs");
  await ensure({
    name: `openclaw-${version}`,
    stamp: join(target, STAMP_FILE),
    inputs: hashOf(HERE, [version]),
    outputs: () => (existsSync(entry) ? hashOfPackages(join(target, "node_modules")) : undefined),
    make: async () => {
      log(`installing OpenClaw ${version} into ${target} (about 500 MB, a minute)`);
      await mkdir(target, { recursive: true });
      await cp(source, target, { recursive: true });
      await run(
        "npm",
        NPM_CI,
        target,
        `could not install OpenClaw ${version}: check that the npm registry answers and ${target} has 2 GB free, then try again`,
      );
      removeUnused(join(target, "node_modules"));
      await run(
        node,
        [entry, "--version"],
        target,
        `OpenClaw ${version} is installed but does not run on ${node}: give it Node >= 26.1 (or >= 24.16 and < 25)`,
      );
    },
  });
  return { entry, version };
}

const HERE = dirname(fileURLToPath(import.meta.url));

const STAMP_FILE = ".installed";

// No install scripts: they download prebuilt binaries the gateway does not need here.
const NPM_CI = [
  "ci",
  "--ignore-scripts",
  "--omit=dev",
  "--no-audit",
  "--no-fund",
  "--loglevel=error",
];

const INSTALL_TIMEOUT_MS = 15 * 60_000;

/**
 * Removes declarations and source maps, which only editors and debuggers read: a quarter of the
 * space, and 13,000 files of the newest version.
 */
function removeUnused(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile() && UNUSED.test(entry.name)) unlinkSync(path);
    // The compiler reads its declarations when it runs.
    else if (entry.isDirectory() && entry.name !== "typescript") removeUnused(path);
  }
}

const UNUSED = /\.(map|d\.[cm]?ts)$/;

/**
 * Runs a command quietly; when it fails, the error is one line and `cause` holds the end of its
 * output.
 */
/** Ended with us, however we end: npm would otherwise go on filling the disk. */
async function run(command, args, cwd, complaint) {
  // Under `npm start` the environment names the folder npm was started in; this installation has
  // its own.
  const env = npmEnvironment();
  delete env.npm_config_prefix;
  delete env.npm_config_local_prefix;
  try {
    await runToItsEnd(command, args, { cwd, env, timeout: INSTALL_TIMEOUT_MS });
  } catch (error) {
    const firstLine =
      error.output
        ?.split("\n")
        .find((line) => line.trim() !== "")
        ?.trim() ?? "no output";
    throw new Error(`${complaint} (${command}: ${firstLine})`, { cause: error });
  }
}
