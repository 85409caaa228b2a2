// `npm run fuzz [-- TARGET… --seconds N]`: fuzzes with libFuzzer for a given time; `cargo test`
// does it for seconds. The corpus stays in `.cache/fuzz`. An input that breaks an invariant is
// named. Copy it to `fuzz/corpus/<target>`, where `cargo test` runs it from then on.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand } from "../scripts/command.mjs";
import { CACHE, ROOT } from "../scripts/paths.mjs";
import { run } from "../scripts/processes.mjs";
import { cargoFuzzPath, ensureCargoFuzz, ensureRust } from "../scripts/setup.mjs";
import { Failure, step } from "../scripts/steps.mjs";

const FOLDER = join(CACHE, "fuzz");
/** Longest input, in bytes: the longest seed, and room to grow. */
const MAX_BYTES = 65_536;
/** An input that takes longer is a finding, in seconds. */
const TIMEOUT_S = 10;

async function main() {
  const { targets, seconds } = options();
  await ensureRust();
  const toolchain = await nightly();
  await ensureCargoFuzz();
  await step("Seeds", () =>
    run("cargo", SEEDS, { cwd: ROOT, env: { ...process.env, CLAWFRONT_WRITE_SEEDS: FOLDER } }),
  );
  for (const target of targets) {
    await step(`Fuzzing ${target} for ${seconds} s`, () => fuzz(target, seconds, toolchain), {
      fix: `if an input is named above, copy it to fuzz/corpus/${target}/ and run \`cargo test -p clawfront-core --test fuzz\`.`,
    });
  }
}

const SEEDS = ["test", "--quiet", "--package", "clawfront-core", "--test", "fuzz", "seeds"];

async function fuzz(target, seconds, toolchain) {
  const folder = join(FOLDER, target);
  const found = join(folder, "found");
  // libFuzzer adds to the first folder.
  const corpora = [
    join(folder, "corpus"),
    join(folder, "seeds"),
    join(ROOT, "fuzz/corpus", target),
  ];
  for (const path of [found, corpora[0]]) mkdirSync(path, { recursive: true });
  const limits = [`-max_total_time=${seconds}`, `-max_len=${MAX_BYTES}`, `-timeout=${TIMEOUT_S}`];
  const files = [`-dict=${join(folder, "words.dict")}`, `-artifact_prefix=${found}/`];
  const built = ["--fuzz-dir", join(ROOT, "fuzz"), "--target-dir", join(FOLDER, "target")];
  const args = [
    "run",
    ...built,
    target,
    ...corpora.filter((path) => existsSync(path)),
    "--",
    ...limits,
    ...files,
    "-print_final_stats=1",
  ];
  await run(cargoFuzzPath(), ["fuzz", ...args], {
    cwd: ROOT,
    env: { ...process.env, RUSTUP_TOOLCHAIN: toolchain },
    show: true,
  });
}

/**
 * libFuzzer's instrumentation is unstable; everything else here is built with the toolchain of
 * rust-toolchain.toml.
 */
async function nightly() {
  const fix =
    "run `rustup toolchain install nightly --profile minimal`; `cargo test` fuzzes without it, but not as far.";
  const installed = await run("rustup", ["toolchain", "list"], { cwd: ROOT }).catch(() => "");
  const toolchain = installed.match(/^nightly\S*/m);
  if (!toolchain)
    throw new Failure("cargo fuzz needs a nightly toolchain, and none is installed.", { fix });
  return toolchain[0];
}

function options() {
  const all = readdirSync(join(ROOT, "fuzz/fuzz_targets")).map((name) => name.replace(/\.rs$/, ""));
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seconds: { type: "string", default: "60" } },
  });
  const unknown = positionals.filter((target) => !all.includes(target));
  if (unknown.length > 0)
    throw new Failure(`The target ${unknown.join(", ")} does not exist.`, {
      fix: `choose from ${all.join(", ")}.`,
    });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new Failure(`'${values.seconds}' is not a number of seconds.`);
  return { targets: positionals.length > 0 ? positionals : all, seconds };
}

await runCommand("Fuzzing", main);
