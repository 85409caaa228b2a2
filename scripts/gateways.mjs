// Starts a real OpenClaw for `npm start` to put the Worker in front of: `{ name, url, vars, ended }`
// as `simulated.mjs` returns it.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "./processes.mjs";
import { ensureNodePackages, findNode } from "./setup.mjs";
import { freshToken } from "./simulated.mjs";
import { step } from "./steps.mjs";

/**
 * Installs before anything else is started, so that a failing download leaves nothing to clean up.
 */
export async function installOpenClaw(version) {
  await ensureNodePackages();
  const { installOpenClaw: install } = await import("../openclaw/install.mjs");
  return step(`OpenClaw ${version}`, (onLine) =>
    install(version, { node: findNode(), log: onLine }),
  );
}

/**
 * A real OpenClaw with a scripted model behind it. The Worker is paired as a device: the shared
 * token does not leave this function. `native` is the result of `buildNative`.
 */
export async function startOpenClaw({ version, entry }, folder, native) {
  const { startProvider } = await import("../openclaw/provider.mjs");
  const { startGateway, warmUp } = await import("../openclaw/gateway.mjs");
  const token = freshToken();
  const dir = join(folder, "openclaw");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const gateway = await step(`OpenClaw ${version} gateway (up to a minute)`, async (onLine) => {
    const provider = await startProvider({});
    const started = await startGateway({
      version,
      entry,
      node: findNode(),
      dir,
      providerUrl: provider.url,
      token,
      agents: ["main"],
      log: onLine,
    });
    await warmUp(started);
    return started;
  });
  const device = await step("Pairing the Worker as a device", () => pair(native, gateway, token));
  return {
    name: `OpenClaw ${version}`,
    url: gateway.url,
    vars: {
      GATEWAY_URL: gateway.url,
      DEVICE_KEY: device.device_key,
      DEVICE_TOKEN: device.device_token,
    },
    ended: whenGone(gateway.pid),
  };
}

const LIVENESS_POLL_MS = 1_000;

/** Resolves once the process has ended. */
function whenGone(pid) {
  return new Promise((resolve) => {
    const poll = setInterval(() => {
      try {
        process.kill(pid, 0);
      } catch {
        clearInterval(poll);
        resolve();
      }
    }, LIVENESS_POLL_MS).unref();
  });
}

async function pair(native, gateway, token) {
  return JSON.parse(
    await run(native.cli, ["device", "pair", "--url", gateway.url, "--json"], {
      env: { ...process.env, GATEWAY_TOKEN: token },
    }),
  );
}
