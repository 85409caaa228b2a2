// `npm run build`: the Worker, compiled into `build/`. Wrangler runs this before every dev session and deploy, so it is quick when
// nothing has changed.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BUILD, CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { setUp, workerBuildPath } from "./setup.mjs";
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
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(STAMP, wanted);
}

/** What the build depends on. The tools' versions are in the lock files and in `setup.mjs`. */
const INPUTS = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "package-lock.json", "src", "core/Cargo.toml", "core/src", "scripts/setup.mjs", "scripts/build.mjs"];
const OUTPUTS = ["index.js", "index_bg.wasm"];
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
