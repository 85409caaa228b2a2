// `npm run build`: the Worker, compiled into `build/`. Wrangler runs this before every dev session
// and deploy, so it is quick when nothing has changed.

import { readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { wasmEnvironment } from "./cargo.mjs";
import { dropUnusedClasses } from "./classes.mjs";
import { runCommand } from "./command.mjs";
import { shortenImports } from "./import-names.mjs";
import { nameByLikeness } from "./layout.mjs";
import { exclusively } from "./locks.mjs";
import { BUILD, CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import {
  allOrFirstFailure,
  ensureRust,
  hasTools,
  setUp,
  TOOLS_INPUTS,
  WASM_TARGET,
  workerBuildPath,
} from "./setup.mjs";
import { ensure, hashOf } from "./stamps.mjs";
import { Failure, skipped, step } from "./steps.mjs";

/**
 * Sets up everything, builds the Worker, and returns the environment that programs of this project
 * run in.
 */
export async function buildWorker() {
  const [env] = await allOrFirstFailure([setUp(), compileAhead()]);
  await build("Worker build", BUILD, { shrink }, env);
  return env;
}

/**
 * Has cargo compile the Worker while its tools are compiled, with the arguments and the variable
 * that worker-build will give it: then there is nothing left to compile.
 */
async function compileAhead() {
  if (hasTools()) return;
  await ensureRust();
  const args = [
    "build",
    "--lib",
    "--release",
    "--target",
    WASM_TARGET,
    ...cargoOptions(process.env),
  ];
  const env = { ...wasmEnvironment(), RUST_BACKTRACE: "0", WASM_BINDGEN_USE_JS_SYS: "1" };
  await exclusively(LOCK, () =>
    step("Compilation of the Worker", (onLine) => run("cargo", args, { cwd: ROOT, env, onLine }), {
      fix: "the compiler's message is above.",
    }),
  );
}

/**
 * Builds a Worker that panics on demand, for tests, and says where it is. Not as small as the
 * other: it is never deployed.
 */
export async function buildPanickingWorker(env) {
  await build(
    "Build of a Worker that panics on demand",
    PANICKING,
    { options: ["--features", "panics"] },
    env,
  );
  return PANICKING;
}

/** Builds the Worker that the bench compares with, by the book of workers-rs. */
export async function buildIdiomaticWorker(env) {
  const cwd = join(ROOT, "bench/baselines/idiomatic");
  // Cargo decides what to rebuild. It has its own target folder, because its profile differs.
  const idiomatic = {
    ...wasmEnvironment(env),
    CARGO_TARGET_DIR: join(ROOT, "target/idiomatic"),
    RUST_BACKTRACE: "0",
  };
  await step(
    "Idiomatic Worker to compare with",
    (onLine) => run(workerBuildPath(), ["--release"], { cwd, env: idiomatic, onLine }),
    {
      fix: "the compiler's message is above.",
    },
  );
}

async function build(name, folder, { options = [], shrink }, env) {
  const out = relative(ROOT, folder);
  const cargoArgs = [...cargoOptions(env), ...options];
  const args = ["--release", "--no-opt", "--out-dir", out, "--", ...cargoArgs];
  const isNew = await ensure({
    name: LOCK,
    stamp: join(CACHE, `${basename(folder)}.stamp`),
    inputs: JSON.stringify([hashOf(ROOT, INPUTS), options, profileVariables()]),
    outputs: () => hashOf(folder, OUTPUTS),
    make: () =>
      step(
        name,
        async (onLine) => {
          await run(workerBuildPath(), args, {
            cwd: ROOT,
            env: { ...wasmEnvironment(env), RUST_BACKTRACE: "0" },
            onLine,
          });
          renewFirst(join(folder, "index.js"));
          await shrink?.(folder, env, onLine);
        },
        { fix: "the compiler's message is above." },
      ),
  });
  if (!isNew) skipped(name);
}

/** One for both Workers, because cargo writes their output to one file. */
const LOCK = "worker";

/** Returns the options with which cargo builds a Worker. */
const cargoOptions = (env) => [
  "--config",
  `target.${WASM_TARGET}.rustflags=${JSON.stringify(withoutPaths(env))}`,
];

/**
 * Returns the flags with which the Worker has no path of this machine: the message of a panic names
 * a source file. Without them each machine builds other bytes.
 */
const withoutPaths = ({ CARGO_HOME = join(homedir(), ".cargo") }) => [
  `--remap-path-prefix=${join(CARGO_HOME, "registry/src")}=`,
];

/** Variables that change cargo's release profile, and so the Worker. */
const profileVariables = () =>
  Object.entries(process.env)
    .filter(([name]) => name.startsWith("CARGO_PROFILE_RELEASE_"))
    .sort();

/**
 * After a panic the next call makes a new WebAssembly instance. wasm-bindgen's closures check that
 * they belong to the current instance before they make that call, so the first one would be called
 * in the new instance with an address in the old one. This moves the check after the call.
 * `tests/panic.test.mjs` shows the failure without it. Minified names may have a `$`, which `\\w`
 * does not match.
 */
function renewFirst(path) {
  const text = readFileSync(path, "utf8");
  const renew = text.match(
    /function ([\w$]+)\(\)\{if\([\w$]+\?\?=[\w$]+\.__instance_terminated\b/,
  )?.[1];
  const closure =
    /(\(\.\.\.[\w$]+\)=>\{)(if\([\w$]+\.instance!==[\w$]+\)throw new Error\("Cannot invoke closure from previous WASM instance"\))/g;
  if (!renew || !closure.test(text)) {
    throw new Failure(`${path} is not as wasm-bindgen used to write it.`, {
      fix: "compare its closures with `renewFirst`, and check that `renewFirst` is still needed.",
    });
  }
  writeFileSync(
    path,
    text.replace(closure, (_, begin, check) => `${begin}${renew}();${check}`),
  );
}

/**
 * Optimises for the size of the compressed upload. worker-build would run wasm-opt without these
 * options, and would keep the names of imports.
 */
async function shrink(folder, env, onLine) {
  const [path, gluePath] = [join(folder, "index_bg.wasm"), join(folder, "index.js")];
  const optimise = (options) =>
    run(env.WASM_OPT_BIN, [path, ...FEATURES, ...options, "-o", path], { cwd: ROOT, env, onLine });
  const used = dropUnusedClasses({
    module: readFileSync(path),
    glue: readFileSync(gluePath, "utf8"),
  });
  writeFileSync(path, used.module);
  await optimise(SHRINK);
  const { module, glue } = shortenImports({ module: readFileSync(path), glue: used.glue });
  writeFileSync(gluePath, glue);
  let ordered = module;
  const orders = [];
  // In another order functions have other numbers, so they have other bytes in common.
  while (orders.length < ORDERS) {
    writeFileSync(path, nameByLikeness(ordered));
    await optimise(["--reorder-functions-by-name"]);
    ordered = readFileSync(path);
    orders.push({ ordered, bytes: gzipSync(ordered).length });
  }
  orders.sort((a, b) => a.bytes - b.bytes);
  writeFileSync(path, orders[0].ordered);
}

/** Orders of the functions, one after the other, of which the smallest is kept. */
const ORDERS = 2;

const SHRINK = [
  "-O3",
  // Rust's stack is at address 0 and its end is at the bottom, so an access there is an overflow.
  "--low-memory-unused",
  // Larger functions stay where they are, because they compress better beside functions like them.
  "--one-caller-inline-max-function-size=20",
  "--strip-debug",
  "--strip-producers",
  "--strip-target-features",
];

/** The features that worker-build enables, because wasm-bindgen does not declare all it uses. */
const FEATURES = [
  "bulk-memory",
  "exception-handling",
  "multivalue",
  "mutable-globals",
  "nontrapping-float-to-int",
  "reference-types",
  "sign-ext",
].map((feature) => `--enable-${feature}`);

/** The inputs of the build; the tools' versions are in lock files. */
const INPUTS = [
  "Cargo.toml",
  "Cargo.lock",
  "rust-toolchain.toml",
  ".cargo/config.toml",
  "package-lock.json",
  "src",
  "core/Cargo.toml",
  "core/src",
  "scripts/build.mjs",
  "scripts/classes.mjs",
  "scripts/import-names.mjs",
  "scripts/layout.mjs",
  "scripts/wasm.mjs",
  ...TOOLS_INPUTS,
];
const OUTPUTS = ["index.js", "index_bg.wasm"];
const PANICKING = join(CACHE, "panicking-worker");

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runCommand("Build", buildWorker);
}
