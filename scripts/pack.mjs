// Makes the npm packages of a release: `clawfront`, and one with the native programs for each
// platform that they were built for.

import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { BUILD, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { npmEnvironment } from "./setup.mjs";
import { Failure } from "./steps.mjs";

/** The packages' fields for a platform. On Linux the programs are static, for any C library. */
export const PLATFORMS = {
  "linux-x64": { os: ["linux"], cpu: ["x64"] },
  "linux-arm64": { os: ["linux"], cpu: ["arm64"] },
  "darwin-x64": { os: ["darwin"], cpu: ["x64"] },
  "darwin-arm64": { os: ["darwin"], cpu: ["arm64"] },
};
/** The native programs. */
export const PROGRAMS = ["clawfront", "clawfront-sim"];

/** The scripts that the package's own files import. */
const SCRIPTS = [
  "command.mjs",
  "demo.mjs",
  "machine.cjs",
  "processes.mjs",
  "reaper.sh",
  "simulated.mjs",
  "steps.mjs",
];
/** The npm packages that it needs. */
export const DEPENDENCIES = ["dotenv", "workerd"];
const DOCUMENTS = ["LICENSE", "CHANGELOG.md"];

/**
 * Writes the packages' files into `folder`: `{ folders, tarballs }`. `native` has the folder of the
 * programs for each platform. Only the platforms in it are named in the package: a name that nobody
 * has published could become somebody else's.
 */
export async function pack(folder, native) {
  rmSync(folder, { recursive: true, force: true });
  const { version, license, description, engines, devDependencies } = ownManifest();
  const common = { version, license };
  const folders = [];
  for (const [platform, programs] of Object.entries(native)) {
    if (!PLATFORMS[platform])
      throw new Failure(`There is no platform ${platform}.`, {
        fix: `choose from ${Object.keys(PLATFORMS).join(", ")}.`,
      });
    const name = `clawfront-${platform}`;
    const to = join(folder, name);
    mkdirSync(join(to, "bin"), { recursive: true });
    for (const program of PROGRAMS) {
      copyFileSync(join(programs, program), join(to, "bin", program));
      chmodSync(join(to, "bin", program), 0o755);
    }
    writeManifest(to, {
      name,
      ...common,
      description: `The native programs of clawfront for ${platform}.`,
      ...PLATFORMS[platform],
      files: ["bin"],
    });
    folders.push(to);
  }
  const main = join(folder, "clawfront");
  copyFiles(main);
  writeManifest(main, {
    name: "clawfront",
    ...common,
    description,
    type: "module",
    engines,
    bin: { clawfront: "package/bin.cjs" },
    exports: { ".": "./worker/index.js", "./package.json": "./package.json" },
    dependencies: pick(devDependencies, DEPENDENCIES),
    optionalDependencies: Object.fromEntries(
      Object.keys(native).map((platform) => [`clawfront-${platform}`, version]),
    ),
    peerDependencies: { wrangler: `^${devDependencies.wrangler}` },
    peerDependenciesMeta: { wrangler: { optional: true } },
  });
  folders.push(main);
  const tarballs = [];
  for (const path of folders) {
    const args = ["pack", path, "--pack-destination", folder, "--json", "--ignore-scripts"];
    const [{ filename }] = listed(await run("npm", args, { env: npmEnvironment(), data: true }));
    tarballs.push(join(folder, basename(filename)));
  }
  return { folders, tarballs };
}

/** `npm pack --json` prints a list; npm 12 prints an object with a member for each package. */
const listed = (json) => Object.values(JSON.parse(json));

function copyFiles(to) {
  for (const name of ["index.js", "index_bg.wasm"])
    copyInto(join(BUILD, name), join(to, "worker", name));
  for (const name of readdirSync(join(ROOT, "package")))
    copyInto(join(ROOT, "package", name), join(to, "package", name));
  for (const name of SCRIPTS) copyInto(join(ROOT, "scripts", name), join(to, "scripts", name));
  for (const name of DOCUMENTS) copyInto(join(ROOT, name), join(to, name));
  copyInto(join(ROOT, "docs/home.md"), join(to, "README.md"));
  for (const name of ["assets", "deploy"])
    cpSync(join(ROOT, name), join(to, name), { recursive: true });
  writeFileSync(join(to, "wrangler.toml"), configuration());
}

function copyInto(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/**
 * Returns the project's `wrangler.toml` for a folder that has the built Worker: it has no build, and
 * `main` and the folder of assets are other paths.
 */
export function configuration(main = "worker/index.js", assets = "assets") {
  return readFileSync(join(ROOT, "wrangler.toml"), "utf8")
    .replace(/^directory = .*$/m, `directory = ${JSON.stringify(assets)}`)
    .replace(/^# What worker-build .*\nmain = .*$/m, `main = ${JSON.stringify(main)}`)
    .replace(/^\[build\]\n(?:.+\n)+\n/m, "")
    .replace("The module in build/ is", "The module is");
}

const ownManifest = () => JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** Returns the version; fails where the files that name it differ. */
export function commonVersion() {
  const { version } = ownManifest();
  const others = {
    "Cargo.toml": /^version = "(.+)"$/m,
    "openapi.yaml": /^ {2}version: (.+)$/m,
    "deploy/template/package.json": /"clawfront": "\D*([^"]+)"/,
  };
  for (const [path, pattern] of Object.entries(others)) {
    const [, other] = readFileSync(join(ROOT, path), "utf8").match(pattern) ?? [];
    if (other !== version)
      throw new Failure(`package.json has the version ${version}, ${path} has ${other}.`, {
        fix: "write the same version into both.",
      });
  }
  return version;
}

/** Returns the changelog's lines of a version. */
export function notesOf(version) {
  const sections = readFileSync(join(ROOT, "CHANGELOG.md"), "utf8").split(/^## /m);
  const own = sections.find((section) => section.split("\n")[0] === version);
  if (!own)
    throw new Failure(`CHANGELOG.md has no heading for ${version}.`, {
      fix: "give the lines under Unreleased this heading.",
    });
  return own.slice(version.length).trim();
}

const pick = (from, names) => Object.fromEntries(names.map((name) => [name, from[name]]));

const writeManifest = (folder, manifest) =>
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
