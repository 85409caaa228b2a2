// Describes the machine that the figures were taken on.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { ROOT } from "../scripts/paths.mjs";

const MIB = 1024 * 1024;

/** Machine, versions, date and load average. */
export function describeMachine() {
  return {
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: cpus().length,
      memoryMib: Math.round(totalmem() / MIB),
      kernel: release(),
    },
    versions: {
      clawfront: commit(),
      workerd: packageVersion("workerd"),
      node: process.version,
      rust: rustVersion(),
    },
    load: loadavg().map((load) => Math.round(load * 100) / 100),
  };
}

function packageVersion(name) {
  return JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages[
    `node_modules/${name}`
  ].version;
}

const rustVersion = () =>
  readFileSync(join(ROOT, "rust-toolchain.toml"), "utf8").match(/^channel = "(.+)"$/m)?.[1];

/** With a `+` where there are changes that no commit holds. */
function commit() {
  const git = (...args) =>
    execFileSync("git", args, {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    return (
      git("rev-parse", "--short", "HEAD") +
      (git("status", "--porcelain", "--untracked-files=no") ? "+" : "")
    );
  } catch {
    // A copy without its history.
    return "unknown";
  }
}
