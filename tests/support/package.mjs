// Installs the npm packages of this checkout into a folder, as a stranger would: without cargo, and
// without this checkout's programs on the `PATH`.

import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { pack } from "../../scripts/pack.mjs";
import { CLI, ROOT, SIM } from "../../scripts/paths.mjs";
import { collect, run } from "../../scripts/processes.mjs";

/** The native programs' platform on this machine. */
export const PLATFORM = `${process.platform}-${process.arch}`;

/** Node, npm and the shell, and nothing of Rust. */
export function strangersEnvironment(home, more = {}) {
  const PATH = [dirname(process.execPath), "/usr/local/bin", "/usr/bin", "/bin"].join(delimiter);
  return { HOME: home, PATH, npm_config_cache: join(home, "npm-cache"), ...more };
}

/**
 * Packs and installs into `folder`: `{ home, env, bin, pack }`, where `bin` is the program and
 * `pack` has the packages' folders and tarballs. The native programs are those that the tests have
 * built, through a script, because they have 45 MB. workerd and dotenv are this checkout's.
 */
export async function install(folder, { native = true } = {}) {
  const programs = join(folder, "programs");
  const home = join(folder, "home");
  const packages = join(folder, "packages");
  for (const path of [programs, home]) mkdirSync(path, { recursive: true });
  for (const [name, path] of [
    ["clawfront", CLI],
    ["clawfront-sim", SIM],
  ]) {
    writeFileSync(join(programs, name), `#!/bin/sh\nexec '${path}' "$@"\n`);
    chmodSync(join(programs, name), 0o755);
  }
  const packed = await pack(packages, native ? { [PLATFORM]: programs } : {});
  const env = strangersEnvironment(home);
  await npmInstall(home, env, packed.tarballs);
  return { home, env, bin: join(home, "node_modules/.bin/clawfront"), packed };
}

/** Installs tarballs, and of the registry's packages those of this checkout. */
export async function npmInstall(folder, env, tarballs, more = []) {
  const own = ["dotenv", "workerd", `@cloudflare/workerd-${workerdPlatform()}`, ...more];
  const args = ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", ...tarballs];
  for (const name of own) args.push(`file:${join(ROOT, "node_modules", name)}`);
  await run("npm", args, { cwd: folder, env });
}

const workerdPlatform = () => PLATFORM.replace("x64", "64");

/**
 * Starts a program: `{ child, lines, ended }`. `lines` has its output so far, `stdout` and `stderr`,
 * and `ended` resolves to its exit code or signal.
 */
export function startProgram(command, args, { cwd, env }) {
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const lines = { stdout: [], stderr: [] };
  for (const name of ["stdout", "stderr"]) collect(child[name], (line) => lines[name].push(line));
  const ended = new Promise((resolve, reject) =>
    child
      .on("error", reject)
      .on("close", (code, signal) => resolve(running.delete(child) && (code ?? signal))),
  );
  return { child, lines, ended };
}

const running = new Set();
/** Kills what a failed test has left; their own watchers end the programs that they started. */
export const killPrograms = () => running.forEach((child) => void child.kill("SIGKILL"));

/** Runs a program to its end: `{ code, stdout, stderr }`. */
export async function runProgram(command, args, options) {
  const { lines, ended } = startProgram(command, args, options);
  const code = await ended;
  return { code, stdout: lines.stdout.join("\n"), stderr: lines.stderr.join("\n") };
}

/**
 * Starts `clawfront serve` at any free port, and resolves once it listens: with `url`, and `stop`,
 * which ends it as systemd does and returns the exit code.
 */
export async function startServe(installed, args, { cwd = installed.home, env, command } = {}) {
  const [program, ...first] = command ?? [installed.bin, "serve", "--port", "0"];
  const server = startProgram(program, [...first, ...args], {
    cwd,
    env: { ...installed.env, ...env },
  });
  const url = await new Promise((resolve, reject) => {
    collect(server.child.stderr, (line) => {
      const [, port] = line.match(/^Listening at http:\S+:(\d+), /) ?? [];
      if (port) resolve(`http://127.0.0.1:${port}`);
    });
    server.ended.then((code) =>
      reject(new Error(`it ended with ${code}:\n${server.lines.stderr.join("\n")}`)),
    );
  });
  return {
    ...server,
    url,
    stop: async (signal = "SIGTERM") => {
      server.child.kill(signal);
      return server.ended;
    },
  };
}
