// Installs the peers of `npm run bench -- --only peers` into `.cache/peers`, as locked in this
// folder. nginx and caddy are those of the PATH, else the distribution's.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { debianFolder, hasApt, unpackDebian } from "../../scripts/debian.mjs";
import { CACHE, ROOT } from "../../scripts/paths.mjs";
import { run } from "../../scripts/processes.mjs";
import { ensurePackages, pythonOf } from "../../scripts/python.mjs";
import { Failure, step } from "../../scripts/steps.mjs";
import { nginx } from "../../tests/support/nginx.mjs";

const HERE = join(ROOT, "bench/peers");
const PORTKEY = join(CACHE, "peers/portkey");
const LITELLM = join(CACHE, "peers/litellm");

export const PORTKEY_PACKAGE = join(PORTKEY, "node_modules/@portkey-ai/gateway");
export const PORTKEY_LOOPBACK = join(HERE, "portkey/loopback.mjs");
export const LITELLM_CONFIG = join(HERE, "litellm/config.yaml");
export const LITELLM_PYTHON = pythonOf(LITELLM);

/** All of them. Quick when they are there. */
export async function ensurePeers() {
  nginx();
  await ensureCaddy();
  await ensurePortkey();
  await ensurePackages({
    name: "LiteLLM (600 MB, two minutes, once)",
    folder: LITELLM,
    requirements: join(HERE, "litellm/requirements.txt"),
    compiled: true,
  });
}

/** Its program: the PATH's, else the distribution's, which is there after `ensureCaddy`. */
export const caddy = async () =>
  (await isThere("caddy")) ? "caddy" : join(debianFolder(["caddy"]), "usr/bin/caddy");

async function ensureCaddy() {
  if (await isThere(await caddy())) return;
  if (!hasApt())
    throw new Failure("caddy is not on this machine's PATH.", {
      fix: "install it, for example with `brew install caddy`.",
    });
  await step("caddy", (onLine) => unpackDebian(["caddy"], { onLine }));
}

const isThere = (program) =>
  run(program, ["version"]).then(
    () => true,
    () => false,
  );

/** Installs the packages that `portkey/package-lock.json` lists. */
async function ensurePortkey() {
  const stamp = join(PORTKEY, ".clawfront-installed");
  const wanted = createHash("sha256")
    .update(readFileSync(join(HERE, "portkey/package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  await step(
    "Portkey",
    async (onLine) => {
      rmSync(PORTKEY, { recursive: true, force: true });
      mkdirSync(PORTKEY, { recursive: true });
      for (const name of ["package.json", "package-lock.json"])
        cpSync(join(HERE, "portkey", name), join(PORTKEY, name));
      await run(
        "npm",
        ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"],
        { cwd: PORTKEY, onLine },
      );
      writeFileSync(stamp, wanted);
    },
    {
      fix: "see npm's output above; `npm ci --ignore-scripts` in bench/peers/portkey must work.",
    },
  );
}
