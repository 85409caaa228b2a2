// The clients that the front is tested with, unmodified: npm packages in tests/clients, Python
// packages below `.cache`, curl, and a browser. Their own set-up, so that `npm start` need not wait
// for them.

import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { exclusively } from "./locks.mjs";
import { CACHE, ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";
import { ensurePython } from "./python.mjs";
import { allOrFirstFailure, installPackages } from "./setup.mjs";
import { sweep } from "./stamps.mjs";
import { Failure, step } from "./steps.mjs";

export const CLIENTS = join(ROOT, "tests/clients");

/** All of them. Quick when they are there. */
export async function ensureClients() {
  await allOrFirstFailure([
    ensurePython(),
    installPackages("npm packages of clients", CLIENTS).then(ensureBrowser),
    ensureCurl(),
  ]);
}

/** A part of nearly every system, so it is not brought along. */
async function ensureCurl() {
  await run("curl", ["--version"]).catch((error) => {
    throw new Failure("curl, one of the clients, is not on this machine's PATH.", {
      fix: "install it, for example with `apt-get install curl`.",
      output: error.message,
    });
  });
}

/**
 * A Chromium without a window: `{ command, env }`. For Linux on x86-64 it is in an npm package,
 * compressed, with the libraries that a small machine lacks; elsewhere CHROMIUM names one that is
 * installed.
 */
export function browser() {
  if (process.env.CHROMIUM) return { command: process.env.CHROMIUM, env: process.env };
  const folder = browserFolder();
  return {
    command: join(folder, "chromium"),
    env: {
      ...process.env,
      LD_LIBRARY_PATH: [join(folder, "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
      FONTCONFIG_PATH: folder,
    },
  };
}

async function ensureBrowser() {
  if (process.env.CHROMIUM) return;
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Failure(
      `No Chromium for ${process.platform}-${process.arch} comes with this project.`,
      {
        fix: "install Chromium or Chrome and put the path of its program into the environment variable CHROMIUM.",
      },
    );
  }
  const folder = browserFolder();
  if (existsSync(folder)) return;
  await exclusively("chromium", () => existsSync(folder) || unpackBrowser(folder));
}

async function unpackBrowser(folder) {
  await step("Chromium", async (onLine) => {
    sweep(CACHE);
    const partial = `${folder}.partial`;
    mkdirSync(partial, { recursive: true });
    try {
      const unpack = (name, file, mode) =>
        pipeline(
          createReadStream(join(PACKAGE, "bin", name)),
          createBrotliDecompress(),
          createWriteStream(file, { mode }),
        );
      await unpack("chromium.br", join(partial, "chromium"), 0o755);
      for (const name of ["al2023", "fonts"]) {
        const archive = join(partial, `${name}.tar`);
        await unpack(`${name}.tar.br`, archive);
        await run("tar", ["-xf", archive, "-C", partial], { onLine });
        rmSync(archive);
      }
      renameSync(partial, folder);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
  });
}

const PACKAGE = join(CLIENTS, "node_modules/@sparticuz/chromium");
const browserFolder = () =>
  join(
    CACHE,
    `chromium-${JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")).version}`,
  );
