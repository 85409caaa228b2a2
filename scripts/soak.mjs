// `npm run soak [-- --runs N --concurrency N --seed N]`: thousands of calls with faults of every kind, hang-ups and repeats, against workerd and the
// simulated gateway, on both protocols. Fails on a call whose end nothing explains, a run too many, a socket left open, or memory that grows.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildWorker } from "./build.mjs";
import { buildNative } from "./native.mjs";
import { ROOT } from "./paths.mjs";
import { isEnding, run, stopAll } from "./processes.mjs";
import { allOrFirstFailure, setUp } from "./setup.mjs";
import { Failure, reportOnce, say, step } from "./steps.mjs";

const PROTOCOLS = [4, 3];
/** How many problems are named: the first ones are the ones to look at. */
const SHOWN_PROBLEMS = 20;

async function main() {
  const { runs, concurrency, seed } = options();
  const env = await setUp();
  await buildWorker(env);
  await buildNative();
  // A hundred clients at a time, each of which hears of all runs on protocol 3: without optimisation the gateway would be what is measured.
  const release = ["build", "--release", "--package", "clawfront-sim"];
  await step("Simulated gateway, optimised", (onLine) => run("cargo", release, { cwd: ROOT, onLine }), { mend: "the compiler's message is above." });
  // Uses npm packages, which are there only now.
  const { soak } = await import("../soak/soak.mjs");
  // Both at once: half the calls each, half of those that are under way.
  const all = await step(`Soak: ${runs} calls, ${concurrency} at a time, seed ${seed}`, () =>
    allOrFirstFailure(
      PROTOCOLS.map((protocol) =>
        soak({
          protocol,
          runs: Math.ceil(runs / PROTOCOLS.length),
          concurrency: Math.ceil(concurrency / PROTOCOLS.length),
          seed,
          binary: join(ROOT, "target/release/clawfront-sim"),
          onRound: ({ calls, rest, problems }) => say([`  protocol ${protocol}: ${calls} calls, ${rest.at(-1)} MiB`, ...problems.slice(0, SHOWN_PROBLEMS)].join("\n    ")),
        }),
      ),
    ),
  );
  all.forEach(report);
  const problems = all.flatMap(({ protocol, problems }) => problems.map((problem) => `protocol ${protocol}: ${problem}`));
  if (problems.length > 0) throw new Failure(`${problems.length} problems:\n${problems.slice(0, SHOWN_PROBLEMS).join("\n")}`, { mend: `run it again with --seed ${seed}.` });
}

function report({ protocol, calls, started, ends, late, rest, peakMib, growth }) {
  say(`protocol ${protocol}: ${calls} calls, ${started} runs; memory at rest ${rest.join(" ")} MiB, at most ${peakMib} MiB under load`);
  if (growth) say(`  median of the middle third ${growth.middle} MiB, of the last ${growth.late} MiB`);
  if (late > 0) say(`  ${late} calls ran out of time on a busy machine`);
  say(`  ${Object.entries(ends).sort(([, a], [, b]) => b - a).map(([end, count]) => `${end} ${count}`).join(", ")}`);
}

function options() {
  const { values } = parseArgs({
    options: { runs: { type: "string", default: "10000" }, concurrency: { type: "string", default: "100" }, seed: { type: "string", default: "1" } },
  });
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (!/^[1-9]\d{0,8}$/.test(value)) throw new Failure(`--${name} takes a number of at least 1, not '${value}'.`);
      return [name, Number(value)];
    }),
  );
}

try {
  await main();
} catch (error) {
  // Told to end: whoever does that also says with which code.
  if (!isEnding()) {
    reportOnce("Soak", error);
    await stopAll();
    process.exit(1);
  }
}
