// Runs a real OpenClaw gateway from an installation made by install.mjs, on loopback, with all its
// files under one folder.

import { execFile, spawn } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { gatewayConfig, gatewayEnv } from "./config.mjs";
import { startGroup } from "./process-group.mjs";

/**
 * Starts a gateway and returns when it takes connections. With the `dir` and `port` of an earlier
 * one it is a restart: paired devices and sessions are still there.
 */
export async function startGateway({
  version,
  entry,
  node,
  dir,
  providerUrl,
  auth,
  token,
  port,
  trustedProxies,
  settings,
  agents = ["main", "beta"],
  log = () => {},
  startTimeoutMs = START_TIMEOUT_MS,
}) {
  port = await freePort(port);
  const stateDir = join(dir, "state");
  const configPath = join(dir, "openclaw.json");
  const logPath = join(dir, "gateway.log");
  const env = gatewayEnv({ dir, node, configPath, stateDir });
  for (const folder of [stateDir, env.HOME, env.TMPDIR])
    await mkdir(folder, { recursive: true, mode: 0o700 });
  await shareCaches(entry, env.TMPDIR);
  const config = gatewayConfig({
    version,
    dir,
    port,
    auth,
    token,
    providerUrl,
    agents,
    trustedProxies,
    settings,
  });
  await writeFile(configPath, JSON.stringify(config, null, 2), { mode: 0o600 });

  log(`starting OpenClaw ${version} on port ${port}`);
  const group = startGroup(node, [entry, "gateway", "run", "--port", String(port)], {
    cwd: dir,
    env,
    logPath,
  });
  const gateway = {
    url: `ws://127.0.0.1:${port}`,
    httpUrl: `http://127.0.0.1:${port}`,
    port,
    token,
    version,
    agents,
    pid: group.pid,
    stateDir,
    configPath,
    logPath,
    env,
    /** Runs the real `openclaw` command on this gateway's state: `{code, stdout, stderr}`. */
    cli: (args) => runCli(node, [entry, ...args], { cwd: dir, env }),
    /**
     * Asks the gateway to end and waits for it. Processes that remain after `graceMs` are killed.
     */
    stop: ({ signal = "SIGTERM", graceMs = STOP_GRACE_MS } = {}) => group.end(signal, graceMs),
    /** Ends it as a crash would. */
    kill: () => group.end("SIGKILL", STOP_GRACE_MS),
  };
  try {
    await becomeReady(gateway, group, node, startTimeoutMs);
  } catch (error) {
    await gateway.kill();
    throw error;
  }
  log(`OpenClaw ${version} is ready on port ${port}`);
  return gateway;
}

/**
 * One agent turn, so that the slow first run of a fresh gateway is not part of anything measured or
 * timed.
 */
export async function warmUp(gateway) {
  const response = await fetch(`${gateway.httpUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: `openclaw/${gateway.agents[0]}`,
      messages: [{ role: "user", content: "warm up [[fake deltas=1]]" }],
    }),
    signal: AbortSignal.timeout(WARM_UP_TIMEOUT_MS),
  });
  const text = await response.text();
  if (!response.ok || !text.includes("w0")) {
    throw new Error(
      `the first run of OpenClaw ${gateway.version} failed (HTTP ${response.status}); see ${gateway.logPath}`,
    );
  }
}

/** A start takes 15 to 42 s on two idle cores, and several times that on a busy CI machine. */
const START_TIMEOUT_MS = 180_000;
const WARM_UP_TIMEOUT_MS = 120_000;
const CLI_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 10_000;
const HEALTH_TIMEOUT_MS = 5_000;
const POLL_MS = 200;
const CLI_OUTPUT_MAX_BYTES = 16 * 1024 * 1024;
const PROBE = fileURLToPath(new URL("connect-probe.mjs", import.meta.url));

/**
 * 2026.3.13 compiles its plugins at the first start, which takes 25 s, and both releases have Node
 * keep the code that it compiles: all of it in the temporary folder. It depends on the installation
 * only, so it is kept there, and every later start finds it.
 */
async function shareCaches(entry, tmpDir) {
  const installation = dirname(dirname(dirname(entry)));
  for (const [name, kept] of [
    ["jiti", "plugin-cache"],
    ["node-compile-cache", "compile-cache"],
  ]) {
    const cache = join(installation, kept);
    await mkdir(cache, { recursive: true });
    await symlink(cache, join(tmpDir, name)).catch((error) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

async function becomeReady(gateway, group, node, timeoutMs) {
  const deadlineMs = Date.now() + timeoutMs;
  const pending = () => group.ended === null && Date.now() < deadlineMs;

  let healthy = false;
  while (!healthy && pending()) {
    await sleep(POLL_MS);
    healthy = await answersHealth(gateway);
  }
  if (healthy && (await takesConnections(gateway, group, node, deadlineMs - Date.now()))) return;

  const what =
    group.ended === null
      ? `was not ready after ${timeoutMs / 1000} s`
      : `ended while starting (${group.ended})`;
  throw new Error(`OpenClaw ${gateway.version} ${what}; see ${gateway.logPath}`);
}

async function answersHealth(gateway) {
  return fetch(`${gateway.httpUrl}/healthz`, {
    signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
  }).then(
    (response) => response.ok,
    () => false,
  );
}

/** HTTP is up before agents are: until then a `connect` is answered UNAVAILABLE. */
async function takesConnections(gateway, group, node, timeoutMs) {
  const probe = spawn(node, [PROBE, gateway.url], {
    env: { GATEWAY_TOKEN: gateway.token },
    stdio: "ignore",
    timeout: Math.max(1, timeoutMs),
  });
  void group.whenEnded.then(() => probe.kill());
  return new Promise((resolve) => {
    probe.on("error", () => resolve(false));
    probe.on("exit", (code) => resolve(code === 0));
  });
}

function runCli(node, args, { cwd, env }) {
  return new Promise((resolve) => {
    const options = { cwd, env, timeout: CLI_TIMEOUT_MS, maxBuffer: CLI_OUTPUT_MAX_BYTES };
    execFile(node, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), stdout, stderr });
    });
  });
}

/**
 * `wanted`, or any port. Checked first, because a gateway already there would answer for the one
 * that fails to start.
 */
function freePort(wanted = 0) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      reject(
        error.code === "EADDRINUSE"
          ? new Error(
              `port ${wanted} is in use; stop the program that listens there or choose another`,
            )
          : error,
      );
    });
    server.listen(wanted, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
