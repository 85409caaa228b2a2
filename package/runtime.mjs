// Runs the Worker of this package in workerd, with its Durable Object on disk.

import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { collect, reasonOf, unwatchGroup, watchGroup } from "../scripts/processes.mjs";
import { Failure } from "../scripts/steps.mjs";
import { joined } from "./address.mjs";
import { consoleWorker, writeConsole } from "./console.mjs";
import { PACKAGE, workerdProgram } from "./native.mjs";

/** The Worker's files. They are copied: an update of the package does not change what runs. */
const MODULES = ["index.js", "index_bg.wasm"];

/**
 * Starts workerd, and resolves once it listens: `{ port, ended, stop }`. `settings` are the Worker's
 * texts by name; they go through the environment and are in no file. `folder` keeps the storage.
 * `keepsAddress` says that a proxy sets the header with the client's address; else it is removed,
 * because any client could write it. `stdio` are the streams for the log and for messages.
 * `stop(ms)` ends it: no new connection is taken, running requests have `ms` milliseconds.
 */
export async function startRuntime({ host, port, settings, folder, keepsAddress, stdio }) {
  const run = join(folder, "run");
  const storage = join(folder, "objects");
  for (const path of [run, storage]) mkdirSync(path, { recursive: true, mode: 0o700 });
  for (const name of MODULES) copyFileSync(join(PACKAGE, "worker", name), join(run, name));
  writeConsole(run);
  const config = join(run, "config.capnp");
  const address = joined(host, port);
  const names = Object.keys(settings);
  writeFileSync(config, configuration({ address, names, storage, keepsAddress }), { mode: 0o600 });

  const child = spawn(workerdProgram(), ["serve", "--control-fd=3", config], {
    cwd: folder,
    env: { ...settings, TZ: "UTC" },
    stdio: ["ignore", ...stdio, "pipe"],
    // A group of its own: the terminal's Ctrl-C ends us, and we end it.
    detached: true,
  });
  if (child.pid !== undefined) watchGroup(child.pid);
  const ended = new Promise((resolve) => {
    child.once("error", (error) => resolve({ error }));
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  ended.then(() => child.pid !== undefined && unwatchGroup(child.pid));
  const first = await Promise.race([portOf(child), ended, limit(START_LIMIT_MS)]);
  if (typeof first !== "number") {
    child.kill("SIGKILL");
    throw new Failure(
      `workerd does not listen at ${address} (${first ? reasonOf(first) : "it took too long"}).`,
      { fix: "its own message is above; choose another address with --host and --port." },
    );
  }
  return {
    port: first,
    ended,
    stop: async (ms) => {
      child.kill("SIGTERM");
      if (!(await Promise.race([ended, limit(ms)]))) child.kill("SIGKILL");
      await ended;
    },
  };
}

const limit = (ms) => new Promise((resolve) => setTimeout(resolve, ms).unref());
/** It takes a tenth of a second; a busy machine takes longer. */
const START_LIMIT_MS = 20_000;

/** Resolves to the port that workerd reports on its control descriptor. */
const portOf = (child) =>
  new Promise((resolve) =>
    collect(child.stdio[3], (line) => {
      const { event, port } = JSON.parse(line);
      if (event === "listen") resolve(port);
    }),
  );

function configuration({ address, names, storage, keepsAddress }) {
  const { date, flags } = compatibility();
  const texts = names.map((name) => `(name = ${text(name)}, fromEnvironment = ${text(name)})`);
  const http = keepsAddress ? "()" : '(injectRequestHeaders = [(name = "CF-Connecting-IP")])';
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "console", worker = .console),
    (name = "internet", network = .everywhere),
    (name = "objects", disk = (path = ${text(storage)}, writable = true)),
  ],
  sockets = [(name = "http", address = ${text(address)}, http = ${http}, service = "console")],
);
const worker :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "index.js"), (name = "index_bg.wasm", wasm = embed "index_bg.wasm")],
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  bindings = [${[...texts, '(name = "HUB", durableObjectNamespace = "Hub")'].join(", ")}],
  durableObjectNamespaces = [(className = "Hub", uniqueKey = "Hub", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
);
const console :Workerd.Worker = ${consoleWorker("main", date)};
# The gateway is on this machine or in its network; by default workerd allows public addresses only.
const everywhere :Workerd.Network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true));
`;
}

/** The runtime's version that the Worker is deployed with. */
function compatibility() {
  const toml = readFileSync(join(PACKAGE, "wrangler.toml"), "utf8");
  const [, date] = toml.match(/^compatibility_date = "(.+)"$/m);
  const [, flags] = toml.match(/^compatibility_flags = (\[.*\])$/m);
  return { date, flags: JSON.parse(flags) };
}

/** A text literal of Cap'n Proto, which has the escapes of C. */
const text = (value) => JSON.stringify(value);
