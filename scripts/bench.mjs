// `npm run bench [-- --only cpu,short,… --quick]`: measures the Worker beside others on this machine, and renews bench/results.json and docs/performance.md.
// In ten minutes, on a machine that does nothing else: what else it does is in the figures.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildWorker, buildIdiomaticWorker } from "./build.mjs";
import { buildNative } from "./native.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { isEnding, run, stopAll } from "./processes.mjs";
import { setUp } from "./setup.mjs";
import { Failure, reportOnce, say, step } from "./steps.mjs";

/** Optimised, so that the gateway is not what is measured. */
const PROFILE = "bench-origin";

async function main() {
  const { values } = parseArgs({ options: { only: { type: "string" }, quick: { type: "boolean", default: false } } });
  const env = await setUp();
  // What runs here finds wrangler and the right Node as a program of `npm test` does.
  process.env.PATH = env.PATH;
  await buildWorker(env);
  await buildIdiomaticWorker(env);
  await buildNative();
  const origin = ["build", "--profile", PROFILE, "--package", "clawfront-sim"];
  await step("Simulated gateway, optimised", (onLine) => run("cargo", origin, { cwd: ROOT, onLine }), { mend: "the compiler's message is above." });
  // Uses npm packages, which are there only now.
  const { MEASUREMENTS, bench } = await import("../bench/bench.mjs");
  const { BUILDS } = await import("../bench/builds.mjs");
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !MEASUREMENTS.includes(name));
  if (unknown !== undefined) throw new Failure(`There is no measurement '${unknown}': there are ${MEASUREMENTS.join(", ")}.`);
  // Hundreds of megabytes, which whoever measures something else need not wait for.
  if (only === undefined || only.includes("peers")) await (await import("../bench/peers/install.mjs")).ensurePeers();
  // Shortened, its figures are worth nothing, and are not put in the place of others.
  const outdir = values.quick ? join(CACHE, "bench") : ROOT;
  await bench({ only, quick: values.quick, builds: BUILDS, simBinary: join(ROOT, "target", PROFILE, "clawfront-sim"), say, outdir });
}

try {
  await main();
} catch (error) {
  // Told to end: whoever does that also says with which code.
  if (!isEnding()) {
    reportOnce("Bench", error);
    await stopAll();
    process.exit(1);
  }
}
