// `npm run build`: the Worker, compiled into `build/`. Wrangler runs this before every dev session and deploy, so it is quick when
// nothing has changed.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { BUILD, CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { setUp, workerBuildPath } from "./setup.mjs";
import { Failure, reportOnce, skipped, step } from "./steps.mjs";

/** Builds the Worker in `env`, the environment that `setUp` returned. */
export const buildWorker = (env) => build("Worker build", BUILD, [], env);

/** Builds a Worker that panics on demand, for tests, and says where it is. Not as small as the other: it is never deployed. */
export async function buildPanickingWorker(env) {
  await build("Build of a Worker that panics on demand", PANICKING, ["--no-opt", "--", "--features", "panics"], env);
  return PANICKING;
}

/** Builds the Worker that the bench compares with, by the book of workers-rs. */
export async function buildIdiomaticWorker(env) {
  const cwd = join(ROOT, "bench/baselines/idiomatic");
  // Cargo itself knows what there is to do; its own target folder, as its profile differs.
  const idiomatic = { ...env, CARGO_TARGET_DIR: join(ROOT, "target/idiomatic"), RUST_BACKTRACE: "0" };
  await step("Idiomatic Worker to compare with", (onLine) => run(workerBuildPath(), ["--release"], { cwd, env: idiomatic, onLine }), {
    mend: "the compiler's message is above.",
  });
}

async function build(name, folder, options, env) {
  const wanted = hashOfInputs();
  const stamp = join(CACHE, `${basename(folder)}.stamp`);
  if (OUTPUTS.every((output) => existsSync(join(folder, output))) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) {
    skipped(name);
    return;
  }
  const args = ["--release", "--out-dir", relative(ROOT, folder), ...options];
  await step(name, (onLine) => run(workerBuildPath(), args, { cwd: ROOT, env: { ...env, RUST_BACKTRACE: "0" }, onLine }), {
    mend: "the compiler's message is above.",
  });
  renewFirst(join(folder, "index.js"));
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(stamp, wanted);
}

/**
 * After a panic the next call renews the WebAssembly instance. wasm-bindgen's closures look whether they belong to the instance that is
 * there before they make that call, so the first one would be called in the new instance, with an address of the old one's. They are made
 * to look afterwards. `tests/panic.test.mjs` sees what happens without.
 */
function renewFirst(path) {
  const text = readFileSync(path, "utf8");
  const renew = text.match(/function (\w+)\(\)\{if\(\w+\?\?=\w+\.__instance_terminated\b/)?.[1];
  const closure = /(\(\.\.\.\w+\)=>\{)(if\(\w+\.instance!==\w+\)throw new Error\("Cannot invoke closure from previous WASM instance"\))/g;
  if (!renew || !closure.test(text)) {
    throw new Failure(`${path} is not as wasm-bindgen used to write it.`, { mend: "see what its closures look like now, and whether `renewFirst` is still needed." });
  }
  writeFileSync(path, text.replace(closure, (_, begin, check) => `${begin}${renew}();${check}`));
}

/** What the build depends on. The tools' versions are in the lock files and in `setup.mjs`. */
const INPUTS = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml", "package-lock.json", "src", "core/Cargo.toml", "core/src", "scripts/setup.mjs", "scripts/build.mjs"];
const OUTPUTS = ["index.js", "index_bg.wasm"];
const PANICKING = join(CACHE, "panicking-worker");

function hashOfInputs() {
  const hash = createHash("sha256");
  const add = (path) => {
    const full = join(ROOT, path);
    if (statSync(full).isDirectory()) {
      for (const name of readdirSync(full).sort()) add(join(path, name));
    } else {
      const bytes = readFileSync(full);
      hash.update(`${path} ${bytes.length}\n`).update(bytes);
    }
  };
  INPUTS.forEach(add);
  return hash.digest("hex");
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await buildWorker(await setUp());
  } catch (error) {
    reportOnce("Build", error);
    process.exitCode = 1;
  }
}
