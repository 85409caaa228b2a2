// The Python that clients and peers written in it are run with: an interpreter of this machine, and for each in an environment of its own below
// `.cache` the packages that a `requirements.txt` locks by hash; the clients' is in tests/clients.
//
// To lock them anew: `uv pip compile --universal --python-version 3.10 --generate-hashes --no-header --no-annotate requirements.in -o requirements.txt`.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join, relative } from "node:path";
import { debianFolder, hasApt, unpackDebian } from "./debian.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { Failure, step } from "./steps.mjs";

const CLIENTS = { name: "Python packages (up to a minute, once)", folder: join(CACHE, "python"), requirements: join(ROOT, "tests/clients/requirements.txt") };
/** Debian's interpreter, on a machine without one. */
const PACKAGES = ["python3", "python3-pip-whl"];
const UNPACKED = debianFolder(PACKAGES);

/** The interpreter that has an environment's packages. It is there after `ensurePackages`. */
export const pythonOf = (folder) => join(folder, "bin/python");

/** The clients'. It is there after `ensurePython`. */
export const PYTHON = pythonOf(CLIENTS.folder);

/** What it is to be run with: an interpreter that was only unpacked does not find its own libraries. */
export function pythonEnvironment() {
  const libraries = existsSync(UNPACKED) ? readdirSync(join(UNPACKED, "usr/lib")).filter((name) => name.endsWith("-linux-gnu")) : [];
  const folders = libraries.map((name) => join(UNPACKED, "usr/lib", name));
  return { ...process.env, ...(folders.length > 0 && { LD_LIBRARY_PATH: [...folders, process.env.LD_LIBRARY_PATH].filter(Boolean).join(delimiter) }) };
}

/** What the clients need. Quick when it is there. */
export const ensurePython = () => ensurePackages(CLIENTS);

/**
 * An environment in `folder` with what the file `requirements` lists. Quick when it is there. `compiled` says that all of it is compiled at once,
 * as pip does for its users, and not only what is imported, when it is.
 */
export async function ensurePackages({ name, folder, requirements, compiled = false }) {
  const stamp = join(folder, ".clawfront-installed");
  const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && (await versionOf(pythonOf(folder)))) return;
  await step(
    name,
    async (onLine) => {
      const pip = await makeEnvironment(folder, onLine);
      // Wheels alone: no package runs code of its own to be installed.
      const args = ["install", "--require-hashes", "--no-deps", "--only-binary", ":all:", compiled ? "--compile" : "--no-compile", "--disable-pip-version-check", "--no-input"];
      await run(pythonOf(folder), [...pip, ...args, "--requirement", requirements], { cwd: ROOT, env: pythonEnvironment(), onLine });
      writeFileSync(stamp, wanted);
    },
    { mend: `Python's package registry must be reachable for this, once; see above. \`rm -r ${relative(ROOT, folder)}\` starts afresh.` },
  );
}

/** An empty environment; returns the arguments with which its interpreter is pip. */
async function makeEnvironment(folder, onLine) {
  const python = await findPython(onLine);
  try {
    await run(python, ["-m", "venv", "--clear", folder], { env: pythonEnvironment(), onLine });
    return ["-m", "pip"];
  } catch (error) {
    // Debian has the part of `venv` that brings pip in a package of its own, and pip itself in another.
    if (!hasApt()) throw error;
    await run(python, ["-m", "venv", "--clear", "--without-pip", folder], { env: pythonEnvironment(), onLine });
    const wheels = join(await unpackDebian(["python3-pip-whl"], { onLine }), "usr/share/python-wheels");
    const wheel = readdirSync(wheels).find((name) => /^pip-.*\.whl$/.test(name));
    return [join(wheels, wheel, "pip")];
  }
}

/** The first of these on the PATH that is new enough, else Debian's, unpacked. */
async function findPython(onLine) {
  const names = ["python3", ...Array.from({ length: MAX_MINOR - MIN_MINOR + 1 }, (_, index) => `python3.${MAX_MINOR - index}`), "python"];
  for (const name of names) if (await versionOf(name)) return name;
  const mend = `install one, for example with \`apt-get install python3-venv\` or \`brew install python@3.13\`.`;
  const missing = new Failure(`There is no Python between 3.${MIN_MINOR} and 3.${MAX_MINOR} on this machine's PATH.`, { mend });
  if (!hasApt()) throw missing;
  const bin = join(await unpackDebian(PACKAGES, { onLine }), "usr/bin");
  for (const name of existsSync(bin) ? readdirSync(bin) : []) if (/^python3\.\d+$/.test(name) && (await versionOf(join(bin, name)))) return join(bin, name);
  throw missing;
}

/** Its version, if it runs and is one that the locked packages have wheels for. */
async function versionOf(python) {
  try {
    const [major, minor] = JSON.parse(await run(python, ["-c", "import sys, zlib, ssl, venv; print(list(sys.version_info[:2]))"], { env: pythonEnvironment() }));
    return major === 3 && minor >= MIN_MINOR && minor <= MAX_MINOR && `${major}.${minor}`;
  } catch {
    return undefined;
  }
}

/** What openai-python and its kin ask for, and the newest that all locked packages have wheels for. */
const MIN_MINOR = 10;
const MAX_MINOR = 14;
