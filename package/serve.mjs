// `clawfront serve`: the Worker on this machine, beside the gateway. See `--help` below.

import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { reasonOf } from "../scripts/processes.mjs";
import { Failure, say } from "../scripts/steps.mjs";
import { joined, reachOf } from "./address.mjs";
import { lockData } from "./data-lock.mjs";
import { startRuntime } from "./runtime.mjs";
import { readSettings, watchSettings } from "./settings.mjs";

const HELP = `clawfront serve [OPTIONS]

Serves the Worker on this machine, in front of the gateway that the settings name, until SIGTERM or
Ctrl-C. The log goes to standard output, one JSON object a line. A change of the file, such as a
revoked key, restarts the Worker a moment later.

  --file PATH       settings, as \`clawfront setup\` writes them (.dev.vars); the environment takes precedence
  --data PATH       folder for what is kept: the hub's storage (clawfront-data)
  --host ADDRESS    address to listen at (127.0.0.1)
  --port N          port to listen at, 0 for any free one (8787)
  --allow-public    listen at an address that others may reach without encryption
  --behind-proxy    a proxy sets CF-Connecting-IP to the client's address, and nobody else can connect
  --drain SECONDS   time for running answers at the end (30)
  --help            print this
`;

/** Running answers have this long where the settings have changed: a revoked key is not to wait. */
const RELOAD_MS = 2_000;

export async function serve(args) {
  const options = parseOptions(args);
  if (options.help) return process.stdout.write(HELP);
  const note = noteOfReach(options);
  const settings = readSettings(options.file);
  // The log has ids of keys and agents, the storage has hashes of requests: for this user alone.
  mkdirSync(options.data, { recursive: true, mode: 0o700 });
  await lockData(options.data);
  await new Server(options, note).run(settings);
}

/** One workerd at a time. */
class Server {
  constructor(options, note) {
    this.options = options;
    this.note = note;
    this.work = Promise.resolve();
    this.isEnding = false;
  }

  /** Serves until a signal comes. */
  async run(settings) {
    const { options } = this;
    await this.start(settings);
    say(`Listening at http://${joined(options.host, options.port)}, data in ${options.data}.`);
    if (this.note) say(this.note);
    watchSettings(options.file, settings, say, (changed) => this.next(() => this.restart(changed)));
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => this.end());
    // Timers and watchers do not keep this process: the wait does.
    await new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  async start(settings) {
    const runtime = await startRuntime({
      ...this.options,
      settings,
      folder: this.options.data,
      stdio: ["inherit", "inherit"],
    });
    // Any free port is chosen once.
    this.options.port = runtime.port;
    this.runtime = runtime;
    runtime.ended.then((end) => {
      if (!runtime.isStopped)
        this.reject(new Failure(`workerd has ended (${reasonOf(end)}).`, { fix: "start again." }));
    });
  }

  async stop(ms) {
    this.runtime.isStopped = true;
    await this.runtime.stop(ms);
  }

  async restart(settings) {
    if (this.isEnding) return;
    await this.stop(RELOAD_MS);
    await this.start(settings);
    say("The settings have changed: the Worker was started again with them.");
  }

  /** Ends: the first time with time for running answers, the second time at once. */
  end() {
    const { drainMs } = this.options;
    if (this.isEnding) return this.stop(0);
    this.isEnding = true;
    say(`Ending: running answers have ${drainMs / 1_000} s. A second signal ends them at once.`);
    this.next(async () => {
      await this.stop(drainMs);
      this.resolve();
    });
  }

  /** Does one thing after the other. */
  next(work) {
    this.work = this.work.then(work).catch((error) => this.reject(error));
  }
}

/** Returns what an address means to its users; refuses one that others may reach. */
function noteOfReach({ host, port, isPublic, keepsAddress }) {
  const reach = reachOf(host);
  if (reach === "machine") return undefined;
  const meaning =
    "It is plain HTTP: everybody on the way can read keys and answers, and use a key afterwards.";
  if (reach === "network")
    return keepsAddress ? undefined : `Everybody in the network of ${host} can connect. ${meaning}`;
  if (isPublic) return undefined;
  throw new Failure(`${joined(host, port)} may be reached from the internet. ${meaning}`, {
    fix: "listen at 127.0.0.1 behind Caddy or Tailscale, which encrypt; or add --allow-public where only they can connect.",
  });
}

function parseOptions(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        file: { type: "string", default: ".dev.vars" },
        data: { type: "string", default: "clawfront-data" },
        host: { type: "string", default: "127.0.0.1" },
        port: { type: "string", default: "8787" },
        drain: { type: "string", default: "30" },
        "allow-public": { type: "boolean" },
        "behind-proxy": { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    return {
      host: values.host,
      port: whole("--port", values.port, 65_535),
      drainMs: whole("--drain", values.drain, 3_600) * 1_000,
      file: resolve(values.file),
      data: resolve(values.data),
      isPublic: values["allow-public"] ?? false,
      keepsAddress: values["behind-proxy"] ?? false,
      help: values.help,
    };
  } catch (error) {
    throw new Failure(error.message, { fix: "see `clawfront serve --help`." });
  }
}

function whole(name, text, max) {
  if (!/^\d{1,5}$/.test(text) || Number(text) > max)
    throw new Error(`${name} ${text} is not a number from 0 to ${max}.`);
  return Number(text);
}
