// The Python that clients written in it are tested with: an interpreter of this machine, and in an environment of its own below `.cache`
// the packages that tests/clients/requirements.txt locks by hash.
//
// To lock them anew: `uv pip compile --universal --python-version 3.10 --generate-hashes --no-header --no-annotate requirements.in -o requirements.txt`.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { debianFolder, hasApt, unpackDebian } from "./debian.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { Failure, step } from "./steps.mjs";

const FOLDER = join(CACHE, "python");
/** Debian's interpreter, on a machine without one. */
const PACKAGES = ["python3", "python3-pip-whl"];
const UNPACKED = debianFolder(PACKAGES);
const REQUIREMENTS = join(ROOT, "tests/clients/requirements.txt");

/** The interpreter that has the packages. It is there after `ensurePython`. */
export const PYTHON = join(FOLDER, "bin/python");

/** What it is to be run with: an interpreter that was only unpacked does not find its own libraries. */
export function pythonEnvironment() {
  const libraries = existsSync(UNPACKED) ? readdirSync(join(UNPACKED, "usr/lib")).filter((name) => name.endsWith("-linux-gnu")) : [];
  const folders = libraries.map((name) => join(UNPACKED, "usr/lib", name));
  return { ...process.env, ...(folders.length > 0 && { LD_LIBRARY_PATH: [...folders, process.env.LD_LIBRARY_PATH].filter(Boolean).join(delimiter) }) };
}

/** What `requirements.txt` lists. Quick when it is there. */
export async function ensurePython() {
  const stamp = join(FOLDER, ".clawfront-installed");
  const wanted = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && (await versionOf(PYTHON))) return;
  await step(
    "Python packages (up to a minute, once)",
    async (onLine) => {
      const pip = await makeEnvironment(onLine);
      // Wheels alone: nothing is compiled, and no package runs code of its own to be installed. What is never imported need not be compiled either.
      const args = ["install", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile", "--disable-pip-version-check", "--no-input"];
      await run(PYTHON, [...pip, ...args, "--requirement", REQUIREMENTS], { cwd: ROOT, env: pythonEnvironment(), onLine });
      writeFileSync(stamp, wanted);
    },
    { mend: `Python's package registry must be reachable for this, once; see above. \`rm -r .cache/python\` starts afresh.` },
  );
}

/** An empty environment; returns the arguments with which its interpreter is pip. */
async function makeEnvironment(onLine) {
  const python = await findPython(onLine);
  try {
    await run(python, ["-m", "venv", "--clear", FOLDER], { env: pythonEnvironment(), onLine });
    return ["-m", "pip"];
  } catch (error) {
    // Debian has the part of `venv` that brings pip in a package of its own, and pip itself in another.
    if (!hasApt()) throw error;
    await run(python, ["-m", "venv", "--clear", "--without-pip", FOLDER], { env: pythonEnvironment(), onLine });
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
