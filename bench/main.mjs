// `npm run bench [-- --only cpu,short,… --quick]`: measures the Worker beside others on this
// machine, and renews bench/results.json and docs/performance.md. It takes ten minutes, on an
// otherwise idle machine: other work changes the figures.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildIdiomaticWorker, buildWorker } from "../scripts/build.mjs";
import { runCommand } from "../scripts/command.mjs";
import { buildNative } from "../scripts/native.mjs";
import { CACHE, ROOT } from "../scripts/paths.mjs";

import { Failure, say } from "../scripts/steps.mjs";

/** Optimised, because otherwise the gateway would dominate the figures. */
const PROFILE = "bench-origin";

async function main() {
  const { values } = parseArgs({
    options: { only: { type: "string" }, quick: { type: "boolean", default: false } },
  });
  const env = await buildWorker();
  // Programs find wrangler and the right Node here as in `npm test`.
  process.env.PATH = env.PATH;
  await buildIdiomaticWorker(env);
  await buildNative();
  const { sim } = await buildNative({ profile: PROFILE });
  // Uses npm packages, which are there only now.
  const { MEASUREMENTS, bench } = await import("./bench.mjs");
  const { BUILDS } = await import("./builds.mjs");
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !MEASUREMENTS.includes(name));
  if (unknown !== undefined)
    throw new Failure(
      `The measurement '${unknown}' does not exist; choose from ${MEASUREMENTS.join(", ")}.`,
    );
  // Installed only where it is measured: it is hundreds of megabytes.
  if (only === undefined || only.includes("peers"))
    await (await import("./peers/install.mjs")).ensurePeers();
  // The figures of a shortened run mean nothing, and do not replace others.
  const outdir = values.quick ? join(CACHE, "bench") : ROOT;
  await bench({ only, quick: values.quick, builds: BUILDS, simBinary: sim, say, outdir });
}

await runCommand("Bench", main);
