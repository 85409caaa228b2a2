// Runs the built Worker in workerd.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { BUILD, ROOT } from "../../scripts/paths.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";

/**
 * Starts the Worker in workerd itself. A development server in between would change the runtime's
 * bytes on the wire. The Worker has `vars` as its text bindings, and for each of `rateLimits` (`{
 * RPM_3: 3 }`) a counter of that number of requests, like the platform's rate-limit binding;
 * `services` (`{ GATEWAY: "127.0.0.1:18789" }`) are service bindings with their addresses.
 * `modules` are the files of another Worker's `build`, the main one first, and `authorities` are
 * certificates (PEM) that it trusts beside the public ones. Resolves once it listens. `inspector`
 * is the port of the DevTools protocol where the Worker is `inspected`.
 * @returns {Promise<{url: string, port: number, inspector?: number, pid: number, log: string[],
 *   stop: () => Promise<void>}>} `log` is the output of the Worker and workerd so far, line by
 *   line.
 */
export async function startWorker({
  vars = {},
  rateLimits = {},
  services = {},
  port = 0,
  build = BUILD,
  modules = MODULES,
  authorities = [],
  inspected = false,
} = {}) {
  const folder = mkdtempSync(join(tmpdir(), "clawfront-worker-"));
  // Copied, not referred to: a build during a test run must not change the Worker under test.
  for (const name of modules) cpSync(join(build, name), join(folder, name));
  writeFileSync(
    join(folder, "config.capnp"),
    config({ vars, rateLimits, services, port, modules, authorities }),
    { mode: 0o600 },
  );

  const child = start(
    workerdPath(),
    [
      "serve",
      "--control-fd=3",
      ...(inspected ? ["--inspector-addr=127.0.0.1:0"] : []),
      join(folder, "config.capnp"),
    ],
    {
      // The test runner is ended as a group, this with it.
      group: false,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    },
  );
  const log = [];
  collect(child.stdout, (line) => log.push(line));
  collect(child.stderr, (line) => log.push(line));
  const end = async () => {
    await stop(child);
    await child.ended;
    rmSync(folder, { recursive: true, force: true });
  };

  try {
    const listening = await Promise.race([ports(child, inspected), child.ended, expiry()]);
    const { http: port, inspector } = listening ?? {};
    if (port === undefined) throw new Error(`workerd did not start:\n${log.join("\n")}`);
    return { url: `http://127.0.0.1:${port}`, port, inspector, pid: child.pid, log, stop: end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** The files that worker-build writes. */
const MODULES = ["index.js", "index_bg.wasm"];
/** It takes a tenth of a second; a busy machine takes longer. */
const START_LIMIT_MS = 20_000;

function config({ vars, rateLimits, services, port, modules, authorities }) {
  const { date, flags } = compatibility();
  const bindings = [
    ...Object.entries(vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`),
    ...Object.entries(rateLimits).map(
      ([name, limit]) =>
        `(name = ${text(name)}, wrapped = (moduleName = "clawfront-tests:rate-limit", innerBindings = [(name = "limit", json = "${limit}")]))`,
    ),
    ...Object.keys(services).map(
      (name) => `(name = ${text(name)}, service = ${text(`to ${name}`)})`,
    ),
  ];
  const paths = Object.entries(services).map(
    ([name, address]) =>
      `, (name = ${text(`to ${name}`)}, external = (address = ${text(address)}, http = ()))`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = .loopback)${paths.join("")}],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
  extensions = [(modules = [(name = "clawfront-tests:rate-limit", internal = true, esModule = ${text(RATE_LIMIT)})])],
);
const worker :Workerd.Worker = (
  modules = [${modules.map((name) => `(name = ${text(name)}, ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed ${text(name)})`).join(", ")}],
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  bindings = [${bindings.join(", ")}],
);
# Tests connect to programs on this machine and to nothing else; by default workerd allows the opposite.
const loopback :Workerd.Network = (allow = ["local"], tlsOptions = (trustBrowserCas = true, trustedCertificates = [${authorities.map(text).join(", ")}]));
`;
}

/**
 * Imitates the platform's counter, as `wrangler dev` does: `limit({ key })` returns whether one
 * more passes. It never forgets, so a test need not wait.
 */
const RATE_LIMIT = `
export default function ({ limit }) {
  const seen = new Map();
  return {
    async limit({ key }) {
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return { success: seen.get(key) <= limit };
    },
  };
}
`;

/** The runtime the Worker is deployed with, read where it is written down. */
function compatibility() {
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const date = toml.match(/^compatibility_date = "(.+)"$/m)?.[1];
  const flags = toml.match(/^compatibility_flags = (\[.*\])$/m)?.[1];
  if (!date || !flags)
    throw new Error(
      "wrangler.toml lacks compatibility_date or compatibility_flags on one line each",
    );
  return { date, flags: JSON.parse(flags) };
}

/**
 * Cap'n Proto's text literals are C's; JSON's escapes for control characters beyond them (`\u0000`)
 * do not occur in bindings.
 */
const text = (value) => JSON.stringify(String(value));

function workerdPath() {
  const require = createRequire(import.meta.url);
  const platform = {
    "linux-x64": "linux-64",
    "linux-arm64": "linux-arm64",
    "darwin-x64": "darwin-64",
    "darwin-arm64": "darwin-arm64",
  }[`${process.platform}-${process.arch}`];
  // The package `workerd` is a Node program around this binary: one process less to end.
  return join(
    dirname(require.resolve(`@cloudflare/workerd-${platform}/package.json`)),
    "bin/workerd",
  );
}

/** workerd reports the ports that "any free one" became on the control descriptor. */
function ports(child, inspected) {
  const known = {};
  return new Promise((resolve) =>
    collect(child.stdio[3], (line) => {
      const message = JSON.parse(line);
      if (message.event === "listen" && message.socket === "http") known.http = message.port;
      if (message.event === "listen-inspector") known.inspector = message.port;
      if (known.http !== undefined && (known.inspector !== undefined || !inspected)) resolve(known);
    }),
  );
}

function expiry() {
  return new Promise((resolve) => setTimeout(resolve, START_LIMIT_MS).unref());
}
