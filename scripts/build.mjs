// `npm run build`: the Worker, compiled into `build/`. Wrangler runs this before every dev session and deploy, so it is quick when
// nothing has changed.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BUILD, CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { environment, setUp, workerBuildPath } from "./setup.mjs";
import { reportOnce, skipped, step } from "./steps.mjs";

/** Builds the Worker in `env`, the environment that `setUp` returned. */
export async function buildWorker(env) {
  const wanted = hashOfInputs();
  if (OUTPUTS.every((name) => existsSync(join(BUILD, name))) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) {
    skipped("Worker build");
    return;
  }
  await step("Worker build", (onLine) => run(workerBuildPath(), ["--release"], { cwd: ROOT, env: { ...env, RUST_BACKTRACE: "0" }, onLine }), {
    mend: "the compiler's message is above.",
  });
  await run(environment().WASM_OPT_BIN, [...STRIP, join(BUILD, WASM), "-o", join(BUILD, WASM)]);
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(STAMP, wanted);
}

/**
 * worker-build keeps the names of functions: a sixth of the compressed bundle, for the stack traces of a Worker that does not panic. The
 * features are those it builds with, so that nothing is written which the runtime does not know.
 */
const STRIP = ["--strip-debug", "--strip-producers", ...["mutable-globals", "sign-ext", "nontrapping-float-to-int", "bulk-memory", "multivalue", "reference-types", "exception-handling"].map((feature) => `--enable-${feature}`)];

/** What the build depends on. The tools' versions are in the lock files and in `setup.mjs`. */
const INPUTS = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "package-lock.json", "src", "core/Cargo.toml", "core/src", "scripts/setup.mjs", "scripts/build.mjs"];
const WASM = "index_bg.wasm";
const OUTPUTS = ["index.js", WASM];
const STAMP = join(CACHE, "worker-build.stamp");

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
