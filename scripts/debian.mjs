// Unpacks programs of the distribution below `.cache` with apt and dpkg, for users without root.

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { exclusively } from "./locks.mjs";
import { CACHE } from "./paths.mjs";
import { run } from "./processes.mjs";
import { sweep } from "./stamps.mjs";

/** Returns whether this is a Debian or a derivative: apt and dpkg are there. */
export const hasApt = () => existsSync(STATUS) && existsSync("/usr/bin/apt-get");

/**
 * Unpacks packages, and their dependencies that this machine does not have, into one folder as if
 * it were `/`. Returns the folder. apt checks their signatures with the machine's own keys.
 */
export async function unpackDebian(packages, { onLine } = {}) {
  const folder = debianFolder(packages);
  if (!existsSync(folder))
    await exclusively(
      "debian",
      async () => existsSync(folder) || (await unpack(packages, folder, onLine)),
    );
  return folder;
}

async function unpack(packages, folder, onLine) {
  sweep(dirname(folder));
  const partial = `${folder}.partial`;
  const state = join(CACHE, "debian", ".apt");
  for (const needed of ["lists/partial", "archives/partial"])
    mkdirSync(join(state, needed), { recursive: true });
  mkdirSync(partial, { recursive: true });
  try {
    const apt = (...args) => run("apt-get", [...aptOptions(state), ...args], { onLine });
    await apt("update");
    await apt(
      "install",
      "--yes",
      "--download-only",
      "--no-install-recommends",
      "--reinstall",
      ...packages,
    );
    const archives = join(state, "archives");
    for (const name of readdirSync(archives).filter((name) => name.endsWith(".deb")))
      await run("dpkg", ["-x", join(archives, name), partial], { onLine });
    mkdirSync(dirname(folder), { recursive: true });
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
    rmSync(state, { recursive: true, force: true });
  }
}

export const debianFolder = (packages) => join(CACHE, "debian", packages.join("+"));

/** Returns the packages that the machine has installed. */
const STATUS = "/var/lib/dpkg/status";

/** Its own lists, archives and caches; no lock and no other user, which only root could use. */
const aptOptions = (state) =>
  [
    `Dir::State::lists=${join(state, "lists")}`,
    `Dir::State::extended_states=${join(state, "extended_states")}`,
    `Dir::Cache::archives=${join(state, "archives")}`,
    `Dir::Cache::pkgcache=${join(state, "pkgcache.bin")}`,
    `Dir::Cache::srcpkgcache=${join(state, "srcpkgcache.bin")}`,
    `Dir::Log=${state}`,
    "Debug::NoLocking=1",
    "APT::Sandbox::User=",
    "Acquire::Languages=none",
  ].flatMap((option) => ["-o", option]);
