// Tests the set-up on a machine that has git, rustup, a C compiler and Node, and nothing of this
// project: a toolchain without the WebAssembly target and without components, an empty cache of
// npm, and a copy of the checkout without the files that git ignores. The Worker and its tools are
// already built, because compiling them here would take minutes.
//
// It needs room for one `node_modules`, npm's cache and the target's library, about 1.1 GB
// (measured): it removes each when the test that made it has ended.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { BUILD, CACHE, ROOT } from "../../scripts/paths.mjs";
import { collect, run } from "../../scripts/processes.mjs";
import { toolsFolder } from "../../scripts/setup.mjs";
import { roomiest } from "../../scripts/space.mjs";
import { until } from "../support/front.mjs";

const TARGET = "wasm32-unknown-unknown";
/** The target and the components that the set-up installs, in a toolchain. */
const INSTALLED = [`lib/rustlib/${TARGET}/lib`, "bin/cargo-clippy", "bin/cargo-fmt"];
/** Two installations from package registries, on a busy machine. */
const LIMIT_MS = 220_000;

let machine, toolchain, rustupHome;
before(async () => {
  machine = mkdtempSync(join(roomiest([tmpdir(), CACHE]), "clawfront-machine-"));
  const sysroot = realpathSync((await run("rustc", ["--print", "sysroot"], { cwd: ROOT })).trim());
  const [, channel] = readFileSync(join(ROOT, "rust-toolchain.toml"), "utf8").match(
    /^channel = "(.+)"$/m,
  );
  const [, host] = (await run("rustc", ["-vV"], { cwd: ROOT })).match(/^host: (.+)$/m);
  rustupHome = join(machine, "rustup");
  toolchain = join(rustupHome, "toolchains", `${channel}-${host}`);
  linkTree(sysroot, toolchain, new Set(["html"]));
  // rustup changes its own records in place: copied, not linked.
  const records = join(toolchain, "lib/rustlib");
  for (const name of readdirSync(join(sysroot, "lib/rustlib"), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)) {
    rmSync(join(records, name));
    copyFileSync(join(sysroot, "lib/rustlib", name), join(records, name));
  }
  // rustc would find the sysroot that the links lead to, with all targets.
  const rustc = join(toolchain, "bin/rustc");
  rmSync(rustc);
  writeProgram(rustc, `exec '${join(sysroot, "bin/rustc")}' --sysroot '${toolchain}' "$@"`);
  writeFileSync(join(rustupHome, "settings.toml"), 'version = "12"\nprofile = "minimal"\n');
  await run("rustup", ["target", "remove", TARGET, "--toolchain", channel], {
    cwd: machine,
    env: environment(),
  });
  await run("rustup", ["component", "remove", "clippy", "rustfmt", "--toolchain", channel], {
    cwd: machine,
    env: environment(),
  });
  const found = await run("rustc", ["--print", "sysroot"], {
    cwd: machine,
    env: environment({ RUSTUP_TOOLCHAIN: channel }),
  });
  assert.equal(found.trim(), toolchain);
  for (const path of INSTALLED) assert.ok(!existsSync(join(toolchain, path)), path);
});
after(() => remove(machine));

const remove = (folder) => rmSync(folder, { recursive: true, force: true });

/**
 * Makes a copy of a folder with symbolic links for files, because a toolchain has 700 MB, and as
 * much again in documentation. Hard links would need one file system for both folders.
 */
function linkTree(from, to, skipped = new Set()) {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true }).filter(
    ({ name }) => !skipped.has(name),
  )) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkTree(source, target, skipped);
    else symlinkSync(source, target);
  }
}

function writeProgram(path, script) {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

/**
 * The environment of a shell on that machine: not that of the tests, which finds this project's
 * Node and tools.
 */
function environment(more = {}) {
  const { npm_lifecycle_event: _, RUSTUP_TOOLCHAIN: _1, ...env } = process.env;
  const path = env.PATH.split(delimiter).filter((folder) => !folder.startsWith(ROOT));
  return {
    ...env,
    PATH: path.join(delimiter),
    RUSTUP_HOME: rustupHome,
    CARGO_HOME: join(machine, "cargo"),
    npm_config_cache: join(machine, "npm"),
    ...more,
  };
}

/** The files that git would clone, with changes that are not committed. */
async function fresh(name, { isBuilt = true } = {}) {
  const folder = join(machine, name);
  for (const path of (
    await run("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: ROOT })
  ).split("\n")) {
    if (!existsSync(join(ROOT, path))) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    copyFileSync(join(ROOT, path), join(folder, path));
  }
  if (!isBuilt) return folder;
  cpSync(BUILD, join(folder, "build"), { recursive: true });
  mkdirSync(join(folder, ".cache/tools"), { recursive: true });
  // Nothing writes into a folder of tools that is whole.
  symlinkSync(toolsFolder(), join(folder, ".cache/tools", basename(toolsFolder())));
  copyFileSync(join(CACHE, "build.stamp"), join(folder, ".cache/build.stamp"));
  return folder;
}

function command(folder, args, env = environment()) {
  const child = spawn("node", ["-r", "./scripts/machine.cjs", ...args], {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = [];
  collect(child.stdout, (line) => said.push(line));
  collect(child.stderr, (line) => said.push(line));
  const ended = new Promise((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal, said: said.join("\n") })),
  );
  return { child, said, ended };
}

test("two first commands at once, after one that was killed, install everything once", {
  timeout: LIMIT_MS,
}, async (t) => {
  const folder = await fresh("clone");
  t.after(() => remove(folder));
  const killed = command(folder, ["scripts/build.mjs"]);
  await until(
    "it installs packages",
    () =>
      killed.said.some((line) => line.includes("▸ npm packages")) &&
      existsSync(join(folder, "node_modules")),
    LIMIT_MS / 2,
  );
  killed.child.kill("SIGKILL");
  await killed.ended;
  assert.ok(
    !existsSync(join(folder, "node_modules/.clawfront-installed")),
    "half an installation has no stamp",
  );

  const both = await Promise.all([
    command(folder, ["scripts/build.mjs"]).ended,
    command(folder, ["scripts/run.mjs", "wrangler", "--version"]).ended,
  ]);
  for (const { code, said } of both) assert.equal(code, 0, said);
  remove(join(machine, "npm"));
  const said = [killed.said.join("\n"), ...both.map((one) => one.said)].join("\n");
  assert.equal(said.match(/^✓ npm packages/gm).length, 1, said);
  assert.equal(said.match(/^✓ Rust /gm).length, 1, said);
  for (const path of INSTALLED) assert.ok(existsSync(join(toolchain, path)), path);
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const missing = Object.entries(packages).filter(
    ([path, { optional }]) => !optional && !existsSync(join(folder, path, "package.json")),
  );
  assert.deepEqual(missing, [], "every package of the lock file is in the clone itself");
  assert.match(both[0].said, /Worker build, already there/);

  const again = await command(folder, ["scripts/build.mjs"]).ended;
  assert.deepEqual(
    [again.code, again.said],
    [0, "✓ Worker build, already there"],
    "there is nothing left to do",
  );
});

test("the first failure ends the other steps at once, and is all that is reported", {
  timeout: LIMIT_MS,
}, async () => {
  const folder = await fresh("failing", { isBuilt: false });
  const bin = join(machine, "bin");
  mkdirSync(bin);
  // npm fails when cargo is at work, which would go on for ten minutes.
  const pid = join(machine, "cargo.pid");
  const programs = {
    cargo: `echo $$ > ${pid}; exec sleep 600`,
    npm: `while ! [ -s ${pid} ]; do sleep 0.1; done; echo registry is closed >&2; exit 7`,
  };
  for (const [name, script] of Object.entries(programs)) writeProgram(join(bin, name), script);
  const { code, said } = await command(
    folder,
    ["scripts/build.mjs"],
    environment({ PATH: [bin, environment().PATH].join(delimiter) }),
  ).ended;
  assert.equal(code, 1, said);
  assert.match(said, /registry is closed/);
  assert.equal(said.match(/✗/g).length, 1, said);
  assert.throws(() => process.kill(Number(readFileSync(pid, "utf8")), 0), { code: "ESRCH" });
});
