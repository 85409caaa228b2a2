// Runs the built Worker in workerd.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { consoleWorker, writeConsole } from "../../package/console.mjs";
import { BUILD, ROOT } from "../../scripts/paths.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";

/**
 * Starts the Worker in workerd itself. A development server in between would change the runtime's
 * bytes on the wire. The Worker has `vars` as its text bindings; `services` (`{ GATEWAY:
 * "127.0.0.1:18789" }`) are service bindings with their addresses. `objects` are the bindings of
 * its Durable Objects with their classes; they are stored in the folder `storage`, or in one of the
 * Worker's own. `modules` are the files of another Worker's `build`, the main one first, and
 * `authorities` are certificates (PEM) that it trusts beside the public ones. Resolves once it
 * listens. The console is in front of it if it is `withConsole`. `inspector` is the port of the
 * DevTools protocol where the Worker is `inspected`. A `limitable` one outlives a limit for the
 * size of its files: a write beyond it fails.
 * @returns {Promise<{url: string, port: number, edge: {url: string, log: string[]}, inspector?:
 *   number, pid: number, log: string[], stop: () => Promise<void>}>} `log` is the output of the
 *   Worker and workerd so far, line by line. `edge` is the same Worker in another isolate, as at
 *   another place, with the objects of the first. `edgeVars` replace its `vars`.
 */
export async function startWorker({
  vars = {},
  edgeVars = {},
  services = {},
  objects = { HUB: "Hub" },
  storage,
  port = 0,
  build = BUILD,
  modules = MODULES,
  authorities = [],
  inspected = false,
  limitable = false,
  withConsole = false,
} = {}) {
  const folder = mkdtempSync(join(tmpdir(), "clawfront-worker-"));
  // Copied, not referred to: a build during a test run must not change the Worker under test.
  for (const name of modules) cpSync(join(build, name), join(folder, name));
  const stored = storage ?? join(folder, "objects");
  mkdirSync(stored, { recursive: true });
  if (withConsole) writeConsole(folder);
  writeFileSync(
    join(folder, "config.capnp"),
    config({
      ...{ vars, edgeVars, services, objects, storage: stored, port, modules, authorities },
      withConsole,
    }),
    { mode: 0o600 },
  );

  const [program, ...before] = limitable
    ? // Node gives each program the default action of this signal, which ends it.
      ["/bin/sh", "-c", 'trap "" XFSZ; exec "$0" "$@"', workerdPath()]
    : [workerdPath()];
  const child = start(
    program,
    [
      ...before,
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
    const wanted = ["http", ...(Object.keys(objects).length > 0 ? ["edge"] : [])];
    const listening = await Promise.race([ports(child, wanted, inspected), child.ended, expiry()]);
    const { http: port, edge, inspector } = listening ?? {};
    if (port === undefined) throw new Error(`workerd did not start:\n${log.join("\n")}`);
    const at = (port) => `http://127.0.0.1:${port}`;
    return {
      url: at(port),
      port,
      /** The Worker in another isolate, with the same objects. */
      edge: { url: at(edge), log },
      inspector,
      pid: child.pid,
      log,
      stop: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** The files that worker-build writes. */
const MODULES = ["index.js", "index_bg.wasm"];
/** It takes a tenth of a second; a busy machine takes longer. */
const START_LIMIT_MS = 20_000;

function config(options) {
  const { vars, edgeVars, services, objects, storage, port, modules, authorities } = options;
  const { date, flags } = compatibility();
  const paths = Object.entries(services).map(
    ([name, address]) =>
      `, (name = ${text(`to ${name}`)}, external = (address = ${text(address)}, http = ()))`,
  );
  /** A Worker whose objects are its own, or those of the service `owner`. */
  const worker = (owner) => {
    const own = owner ? { ...vars, ...edgeVars } : vars;
    const bindings = [
      ...Object.entries(own).map(
        ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
      ),
      ...Object.keys(services).map(
        (name) => `(name = ${text(name)}, service = ${text(`to ${name}`)})`,
      ),
      ...Object.entries(objects).map(
        ([name, kind]) =>
          `(name = ${text(name)}, durableObjectNamespace = (className = ${text(kind)}${owner ? `, serviceName = ${text(owner)}` : ""}))`,
      ),
    ];
    const namespaces = Object.values(objects).map(
      (kind) => `(className = ${text(kind)}, uniqueKey = ${text(kind)}, enableSql = true)`,
    );
    return `(
  modules = [${modules.map((name) => `(name = ${text(name)}, ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed ${text(name)})`).join(", ")}],
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  bindings = [${bindings.join(", ")}],
  ${owner ? "" : `durableObjectNamespaces = [${namespaces.join(", ")}], durableObjectStorage = (localDisk = "objects"),`}
)`;
  };
  const edge = Object.keys(objects).length > 0;
  const front = options.withConsole ? "console" : "main";
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker),${options.withConsole ? ' (name = "console", worker = .console),' : ""}${edge ? ' (name = "edge", worker = .edge),' : ""} (name = "internet", network = .loopback), (name = "objects", disk = (path = ${text(storage)}, writable = true))${paths.join("")}],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "${front}")${edge ? ', (name = "edge", address = "127.0.0.1:0", http = (), service = "edge")' : ""}],
);
const worker :Workerd.Worker = ${worker()};
${options.withConsole ? `const console :Workerd.Worker = ${consoleWorker("main", date)};` : ""}
${edge ? `# The same Worker in another isolate, as at another place of the edge, with the objects of the first.\nconst edge :Workerd.Worker = ${worker("main")};` : ""}
# Tests connect to programs on this machine and to nothing else; by default workerd allows the opposite.
const loopback :Workerd.Network = (allow = ["local"], tlsOptions = (trustBrowserCas = true, trustedCertificates = [${authorities.map(text).join(", ")}]));
`;
}

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
function ports(child, wanted, inspected) {
  const known = {};
  const isComplete = () =>
    wanted.every((name) => known[name] !== undefined) &&
    (known.inspector !== undefined || !inspected);
  return new Promise((resolve) =>
    collect(child.stdio[3], (line) => {
      const message = JSON.parse(line);
      if (message.event === "listen") known[message.socket] = message.port;
      if (message.event === "listen-inspector") known.inspector = message.port;
      if (isComplete()) resolve(known);
    }),
  );
}

function expiry() {
  return new Promise((resolve) => setTimeout(resolve, START_LIMIT_MS).unref());
}
