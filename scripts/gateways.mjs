// Starts the gateway that `npm start` puts the Worker in front of: the user's, a real OpenClaw, or
// the simulated one. Each start returns `{ name, url, vars, ended }`: a name to show, its address,
// the Worker's bindings for it, and a promise that resolves if it ends.

import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { collect, reasonOf, run, start } from "./processes.mjs";
import { ensureNodePackages, findNode } from "./setup.mjs";
import { Failure, step } from "./steps.mjs";

/** `native` is the result of `buildNative`, here and below. */
export async function startSimulated(native) {
  const token = freshToken();
  return step("Simulated gateway", async () => {
    // It ends when its standard input does, that is, with us, however we end.
    const child = start(native.sim, ["--json", "--exit-with-stdin"], {
      env: { ...process.env, SIM_TOKEN: token },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const output = [];
    collect(child.stderr, (line) => output.push(line));
    const firstLine = new Promise((resolve) => collect(child.stdout, resolve));
    const line = await Promise.race([firstLine, child.ended]);
    if (typeof line !== "string")
      throw new Failure(`it ended while starting (${reasonOf(line)}).`, {
        output: output.join("\n"),
      });
    const { url } = JSON.parse(line);
    return {
      name: "simulated",
      url,
      vars: { GATEWAY_URL: url, GATEWAY_TOKEN: token },
      ended: child.ended,
    };
  });
}

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
 * token does not leave this function.
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

/**
 * A fresh client key for these agents: `{ id, key, entry }`; only `entry`, which holds a hash, goes
 * to the Worker. It is made in no list: standard input is empty.
 */
export async function newClientKey(agents, native) {
  return JSON.parse(
    await run(native.cli, [
      "keys",
      "new",
      "--file",
      "-",
      "--id",
      "demo",
      "--agents",
      agents,
      "--json",
    ]),
  );
}

const freshToken = () => randomBytes(TOKEN_BYTES).toString("hex");
const TOKEN_BYTES = 24;

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
