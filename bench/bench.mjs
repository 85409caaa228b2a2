// Runs the measurements one after another, and makes of their figures a table, `results.json`,
// plots and the tables of docs/performance.md.
//
// A measurement is a module: `export const name`, `export async function measure(context)`. The
// context is rounds      how often each contestant is measured, in turn with the others, so that
// what disturbs the machine disturbs all of them quick       true where only the bench itself is on
// trial: as little as shows that it works say(line)   progress builds      where the Workers are: {
// ours, idiomatic, floor, js, jsPass }, each what `startWorker` takes as `{ build, modules }`
// simBinary   the simulated gateway, optimised and it returns { title, rows: [{ label, value, unit,
// spread?, ratio?: { of, value }, target?: { atMost | atLeast, met } }], notes?: [text], plot?: {
// unit, bars: [{ label, value, spread? }] } }

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../scripts/paths.mjs";
import { describeMachine } from "./machine.mjs";
import { renewTables, writePlots } from "./page.mjs";
import { printTable } from "./table.mjs";

/** In this order. Each is imported only where it is run: some need packages that others do not. */
export const MEASUREMENTS = [
  "cpu",
  "short",
  "profile",
  "hop",
  "instructions",
  "ttft",
  "bundle",
  "concurrency",
  "rejections",
  "revocation",
  "peers",
];

const ROUNDS = 5;
const QUICK_ROUNDS = 2;

/**
 * Runs `only` these measurements, all by default; the figures of others stay. `outdir` is where
 * the results go: the repository, where they are to be published.
 * @returns what is in `results.json`
 */
export async function bench({
  only = MEASUREMENTS,
  quick = false,
  builds,
  simBinary,
  say,
  outdir = ROOT,
}) {
  const rounds = quick ? QUICK_ROUNDS : ROUNDS;
  const run = { ...describeMachine(), quick, rounds };
  const measurements = {};
  for (const name of only) {
    const { measure } = await import(`./${name}.mjs`);
    say(`measuring ${name}`);
    const startedMs = performance.now();
    const measured = await measure({ rounds, quick, builds, simBinary, say });
    measurements[name] = {
      ...measured,
      seconds: Math.round((performance.now() - startedMs) / 100) / 10,
      run,
    };
    printTable(measured, say);
  }
  run.loadAfter = describeMachine().load;
  const path = join(outdir, "bench/results.json");
  const results = { measurements: { ...measuredBefore(path), ...measurements } };
  mkdirSync(join(outdir, "bench"), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
  writePlots(results, join(outdir, "docs/performance"));
  renewTables(results, join(outdir, "docs/performance.md"));
  return results;
}

/** The figures of those that were not measured again, if they say of which run they are. */
function measuredBefore(path) {
  const { measurements } = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
  const known = Object.entries(measurements ?? {}).filter(
    ([name, { run }]) => run && MEASUREMENTS.includes(name),
  );
  return Object.fromEntries(known);
}
