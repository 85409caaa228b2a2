// Finds a Python and makes the environments that clients and peers written in Python run in: below
// `.cache`, one for each `requirements.txt`, which locks packages by hash. The clients' is in
// tests/clients. To lock them again: `uv pip compile --universal --python-version 3.10
// --generate-hashes --no-header --no-annotate requirements.in -o requirements.txt`, with the
// options that a comment in requirements.in gives.

import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, delimiter, join, relative } from "node:path";
import { debianFolder, hasApt, unpackDebian } from "./debian.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { ensure, hashOfPackages } from "./stamps.mjs";
import { Failure, step } from "./steps.mjs";

const CLIENTS = {
  name: "Python packages (up to a minute, once)",
  folder: join(CACHE, "python"),
  requirements: join(ROOT, "tests/clients/requirements.txt"),
};
/**
 * Clients that go on with an openai-python older than the clients' own. They are large: half of it
 * is litellm.
 */
const RETRYING = {
  name: "Python packages of clients that try again (up to a minute, once)",
  folder: join(CACHE, "python-retrying"),
  requirements: join(ROOT, "tests/clients/retrying/requirements.txt"),
};
/** Debian's interpreter, on a machine without one. */
const PACKAGES = ["python3", "python3-pip-whl"];
const UNPACKED = debianFolder(PACKAGES);

/** The interpreter that has an environment's packages. It is there after `ensurePackages`. */
export const pythonOf = (folder) => join(folder, "bin/python");

/** The clients'. It is there after `ensurePython`. */
export const PYTHON = pythonOf(CLIENTS.folder);

/** That of the clients in tests/clients/retrying. */
export const RETRYING_PYTHON = pythonOf(RETRYING.folder);

/**
 * The environment to run it with: an interpreter that was only unpacked does not find its own
 * libraries.
 */
export function pythonEnvironment() {
  const libraries = existsSync(UNPACKED)
    ? readdirSync(join(UNPACKED, "usr/lib")).filter((name) => name.endsWith("-linux-gnu"))
    : [];
  const folders = libraries.map((name) => join(UNPACKED, "usr/lib", name));
  return {
    ...process.env,
    ...(folders.length > 0 && {
      LD_LIBRARY_PATH: [...folders, process.env.LD_LIBRARY_PATH].filter(Boolean).join(delimiter),
    }),
  };
}

/** Installs the packages of the clients. Quick when they are there. */
export async function ensurePython() {
  await ensurePackages(CLIENTS);
  await ensurePackages(RETRYING);
}

/**
 * Makes an environment in `folder` with the packages that the file `requirements` lists. Quick when
 * it is there. `compiled`: all modules are compiled at once, as pip does for its users, not only
 * the imported ones on import. `maxMinor` is the newest Python 3 that the packages have wheels for.
 */
export async function ensurePackages({
  name,
  folder,
  requirements,
  compiled = false,
  maxMinor = MAX_MINOR,
}) {
  // An environment holds the path of the interpreter that it was made with, which may have gone
  // since.
  const isBroken = existsSync(folder) && !(await versionOf(pythonOf(folder), maxMinor));
  const make = () =>
    step(
      name,
      async (onLine) => {
        const pip = await makeEnvironment(folder, maxMinor, onLine);
        // Wheels alone: no package runs code of its own to be installed.
        const args = [
          "install",
          "--require-hashes",
          "--no-deps",
          "--only-binary",
          ":all:",
          compiled ? "--compile" : "--no-compile",
          "--disable-pip-version-check",
          "--no-input",
        ];
        await run(pythonOf(folder), [...pip, ...args, "--requirement", requirements], {
          cwd: ROOT,
          env: pythonEnvironment(),
          onLine,
        });
      },
      {
        fix: `Python's package registry must be reachable for this, once; see above. \`rm -r ${relative(ROOT, folder)}\` starts afresh.`,
      },
    );
  const stamp = join(folder, ".clawfront-installed");
  if (isBroken) rmSync(stamp, { force: true });
  await ensure({
    name: `python-${basename(folder)}`,
    stamp,
    inputs: readFileSync(requirements, "utf8"),
    outputs: () => hashOfPackages(join(folder, "lib")),
    make,
  });
}

/** An empty environment; returns the arguments with which its interpreter is pip. */
async function makeEnvironment(folder, maxMinor, onLine) {
  const python = await findPython(maxMinor, onLine);
  try {
    await run(python, ["-m", "venv", "--clear", folder], { env: pythonEnvironment(), onLine });
    return ["-m", "pip"];
  } catch (error) {
    // Debian has the part of `venv` that brings pip in a package of its own, and pip itself in
    // another.
    if (!hasApt()) throw error;
    await run(python, ["-m", "venv", "--clear", "--without-pip", folder], {
      env: pythonEnvironment(),
      onLine,
    });
    const wheels = join(
      await unpackDebian(["python3-pip-whl"], { onLine }),
      "usr/share/python-wheels",
    );
    const wheel = readdirSync(wheels).find((name) => /^pip-.*\.whl$/.test(name));
    return [join(wheels, wheel, "pip")];
  }
}

/** The first of these on the PATH that is new enough, else Debian's, unpacked. */
async function findPython(maxMinor, onLine) {
  const names = [
    "python3",
    ...Array.from(
      { length: maxMinor - MIN_MINOR + 1 },
      (_, index) => `python3.${maxMinor - index}`,
    ),
    "python",
  ];
  for (const name of names) if (await versionOf(name, maxMinor)) return name;
  const fix = `install one, for example with \`apt-get install python3-venv\` or \`brew install python@3.13\`.`;
  const missing = new Failure(
    `No Python between 3.${MIN_MINOR} and 3.${maxMinor} is on this machine's PATH.`,
    { fix },
  );
  if (!hasApt()) throw missing;
  const bin = join(await unpackDebian(PACKAGES, { onLine }), "usr/bin");
  for (const name of existsSync(bin) ? readdirSync(bin) : [])
    if (/^python3\.\d+$/.test(name) && (await versionOf(join(bin, name), maxMinor)))
      return join(bin, name);
  throw missing;
}

/** Its version, if it runs and is one that the locked packages have wheels for. */
async function versionOf(python, maxMinor) {
  try {
    const [major, minor] = JSON.parse(
      await run(python, ["-c", "import sys, zlib, ssl, venv; print(list(sys.version_info[:2]))"], {
        env: pythonEnvironment(),
      }),
    );
    return major === 3 && minor >= MIN_MINOR && minor <= maxMinor && `${major}.${minor}`;
  } catch {
    return undefined;
  }
}

/**
 * The oldest Python that openai-python and similar packages support, and the newest one that all
 * locked packages have wheels for.
 */
const MIN_MINOR = 10;
const MAX_MINOR = 14;
