// `npm run package`: the npm packages, in the folder `dist`. See `--help` below.

import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildWorker } from "./build.mjs";
import { cargoBuild, nativeEnvironment } from "./cargo.mjs";
import { runCommand } from "./command.mjs";
import { commonVersion, DEPENDENCIES, notesOf, PLATFORMS, pack } from "./pack.mjs";
import { ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { sbom } from "./sbom.mjs";
import { ensureRust } from "./setup.mjs";
import { Failure, say, step } from "./steps.mjs";

const HELP = `npm run package [-- OPTIONS]

Makes npm packages in dist/: the Worker with its command, and the native programs of this platform.
dist/SHA256SUMS has their checksums, dist/sbom.cdx.json the packages of others in them.

  --native PLATFORM=FOLDER  programs that were built elsewhere (${Object.keys(PLATFORMS).join(", ")}); may be repeated
  --programs-only           only build this platform's programs, and print their folder
  --version-only            only compare the versions in all files, and print the version
  --notes                   only print what CHANGELOG.md has about this version
  --help                    print this
`;
const DIST = join(ROOT, "dist");
const HERE = `${process.platform}-${process.arch}`;

async function main() {
  const { values } = parseArgs({
    options: {
      native: { type: "string", multiple: true, default: [] },
      "programs-only": { type: "boolean" },
      "version-only": { type: "boolean" },
      notes: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return process.stdout.write(HELP);
  const version = commonVersion();
  if (values["version-only"]) return process.stdout.write(`${version}\n`);
  if (values.notes) return process.stdout.write(`${notesOf(version)}\n`);
  const native = Object.fromEntries(values.native.map(platformOf));
  await ensureRust();
  if (values["programs-only"]) return process.stdout.write(`${await buildPrograms()}\n`);
  await buildWorker();
  native[HERE] ??= await buildPrograms();
  const { tarballs } = await step("npm packages in dist/", () => pack(DIST, native));
  const sums = tarballs.map((path) => {
    const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
    say(`  ${(statSync(path).size / 1e6).toFixed(2).padStart(6)} MB  ${basename(path)}`);
    return `${hash}  ${basename(path)}\n`;
  });
  const components = JSON.stringify(await sbom(version, DEPENDENCIES), null, 2);
  writeFileSync(join(DIST, "sbom.cdx.json"), `${components}\n`);
  writeFileSync(join(DIST, "SHA256SUMS"), sums.join(""));
}

function platformOf(text) {
  const [platform, folder] = text.split(/=(.*)/s);
  if (!folder)
    throw new Failure(`--native ${text} has no folder.`, {
      fix: "see `npm run package -- --help`.",
    });
  return [platform, resolve(folder)];
}

/**
 * Builds the native programs of this platform, and returns their folder. On Linux they are static,
 * with musl, so that they run on every system.
 */
async function buildPrograms() {
  const target = {
    "linux-x64": "x86_64-unknown-linux-musl",
    "linux-arm64": "aarch64-unknown-linux-musl",
  }[HERE];
  const env = nativeEnvironment();
  if (target) {
    await step(`Rust for ${target}`, (onLine) =>
      run("rustup", ["target", "add", target], { cwd: ROOT, onLine }),
    );
    // The C code of ring includes no header of a C library, so the usual compiler will do.
    env[`CC_${target.replaceAll("-", "_")}`] ??= "cc";
  }
  const args = ["--release", "--package", "clawfront-core"];
  for (const name of ["cli", "sim"]) args.push("--package", `clawfront-${name}`);
  if (target) args.push("--target", target);
  const built = await step("Native programs (some minutes, once)", (onLine) =>
    cargoBuild(args, { cwd: ROOT, env, onLine }),
  );
  return dirname(built.clawfront);
}

await runCommand("Package", main);
