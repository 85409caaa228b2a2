// `npm run soak [-- --runs N --concurrency N --seed N]`: makes thousands of calls with faults of
// every kind, hang-ups and repeats, against workerd and the simulated gateway, on both protocols.
// Fails on a call whose end nothing explains, a superfluous run, a socket left open, or memory that
// grows.

import { parseArgs } from "node:util";
import { buildWorker } from "../scripts/build.mjs";
import { runCommand } from "../scripts/command.mjs";
import { buildNative } from "../scripts/native.mjs";

import { allOrFirstFailure } from "../scripts/setup.mjs";
import { Failure, say, step } from "../scripts/steps.mjs";

const PROTOCOLS = [4, 3];
/** How many problems are named: the first ones are the ones to look at. */
const SHOWN_PROBLEMS = 20;

async function main() {
  const { runs, concurrency, seed } = options();
  await buildWorker();
  await buildNative();
  // On protocol 3 each of a hundred clients receives the events of all runs. Without optimisation
  // the gateway would be the bottleneck.
  const { sim } = await buildNative({ profile: "release" });
  // Uses npm packages, which are there only now.
  const { soak } = await import("./soak.mjs");
  // Both at once: half the calls each, half of those that are under way.
  const all = await step(`Soak: ${runs} calls, ${concurrency} at a time, seed ${seed}`, () =>
    allOrFirstFailure(
      PROTOCOLS.map((protocol) =>
        soak({
          protocol,
          runs: Math.ceil(runs / PROTOCOLS.length),
          concurrency: Math.ceil(concurrency / PROTOCOLS.length),
          seed,
          binary: sim,
          onRound: ({ calls, rest, problems }) =>
            say(
              [
                `  protocol ${protocol}: ${calls} calls, ${rest.at(-1)} MiB`,
                ...problems.slice(0, SHOWN_PROBLEMS),
              ].join("\n    "),
            ),
        }),
      ),
    ),
  );
  all.forEach(report);
  const problems = all.flatMap(({ protocol, problems }) =>
    problems.map((problem) => `protocol ${protocol}: ${problem}`),
  );
  if (problems.length > 0)
    throw new Failure(
      `${problems.length} problems:\n${problems.slice(0, SHOWN_PROBLEMS).join("\n")}`,
      { fix: `run it again with --seed ${seed}.` },
    );
}

function report({ protocol, calls, started, ends, losses, late, rest, peakMib, growth }) {
  say(
    `protocol ${protocol}: ${calls} calls, ${started} runs, the hub lost ${losses} times; memory at rest ${rest.join(" ")} MiB, at most ${peakMib} MiB under load`,
  );
  if (growth)
    say(`  median of the middle third ${growth.middle} MiB, of the last ${growth.late} MiB`);
  if (late > 0) say(`  ${late} calls ran out of time on a busy machine`);
  say(
    `  ${Object.entries(ends)
      .sort(([, a], [, b]) => b - a)
      .map(([end, count]) => `${end} ${count}`)
      .join(", ")}`,
  );
}

function options() {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "10000" },
      concurrency: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
    },
  });
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (!/^[1-9]\d{0,8}$/.test(value))
        throw new Failure(`--${name} takes a number of at least 1, not '${value}'.`);
      return [name, Number(value)];
    }),
  );
}

await runCommand("Soak", main);
