// `npm start`: from a fresh clone to an answer streamed through the Worker, which then stays up.
// See `--help` below.

import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildWorker } from "./build.mjs";
import { runCommand } from "./command.mjs";
import { PROMPT, streamAnswer } from "./demo.mjs";
import { readGateway, watchGateway } from "./dev-vars.mjs";
import { installOpenClaw, startOpenClaw } from "./gateways.mjs";
import { isRunning } from "./locks.mjs";
import { buildNative } from "./native.mjs";
import { ensureRoom, needsOfStart } from "./needs.mjs";
import { ROOT } from "./paths.mjs";
import { errorOfListening, holderOf } from "./ports.mjs";

import { allOrFirstFailure, ensureNodePackages, ensureTools } from "./setup.mjs";
import { newAdministrator, newClientKey, startSimulated } from "./simulated.mjs";
import { bold, dim, Failure, reportOnce, say, step } from "./steps.mjs";
import { removeAtExit, runFolder, runs, startWrangler } from "./wrangler.mjs";

const HELP = `npm start [-- OPTIONS]

Starts Clawfront on this machine and sends one request through it. Without more it fronts a simulated gateway; with GATEWAY_URL
and its credential in .dev.vars, that gateway; a change of that file, such as a revoked key, is in force a moment later.

  --openclaw[=VERSION]  install a real OpenClaw into .cache and front that, with a scripted model behind it
  --file PATH           read this file in place of .dev.vars
  --port N              listen on this port of 127.0.0.1 (8787)
  --json                when ready, print one line {"url","key","gateway","seconds"}; progress goes to standard error
  --help                print this
`;
const OPENCLAW_VERSION = "2026.9.6";

async function main() {
  const options = parseOptions();
  if (options.help) return process.stdout.write(HELP);
  const startedMs = performance.now();
  await ensureFree(options.port);
  ensureRoom(needsOfStart(options.openclaw));

  const own = options.openclaw ? undefined : await ownGateway(options.file);
  const [env, native, openClaw] = await allOrFirstFailure([
    buildWorker(),
    // Compiled after the tools, it takes the processors that the Worker's last steps leave free.
    ensureTools().then(() => buildNative()),
    options.openclaw && installOpenClaw(options.openclaw),
  ]);

  const folder = runFolder(options.port);
  const gateway =
    own ??
    (openClaw ? await startOpenClaw(openClaw, folder, native) : await startSimulated(native));
  removeAtExit(folder);
  // The agents of the user's own gateway are not known here. Its owner runs this command, so the
  // key may use all of them.
  const client = gateway.hasClientKeys
    ? undefined
    : await newClientKey("demo", ["--agents", own ? "*" : "main"], native);
  const ops = client && (await newAdministrator(native));
  // Of a gateway's own keys none is made beside them, even when the last one is revoked.
  const devVarsOf = ({ devVars, vars, hasClientKeys, hasKeysSecret }) =>
    [
      devVars ?? asDevVars(vars),
      client && !hasClientKeys && asDevVars({ CLIENT_KEYS: `${client.entry}; ${ops.entry}` }),
      ops && !hasKeysSecret && asDevVars({ KEYS_SECRET: ops.secret }),
    ]
      .filter(Boolean)
      .join("\n");
  const log = workerLog();
  const wrangler = await step("Worker in wrangler dev", () =>
    startWrangler({
      port: options.port,
      folder,
      devVars: devVarsOf(gateway),
      env,
      onLine: log.take,
    }),
  );
  const url = `http://127.0.0.1:${options.port}`;
  // `clawfront keys` finds the hub here, and the key of its administrator if it is one of this run.
  const announce = ({ hasClientKeys }) =>
    writeFileSync(
      join(folder, "hub.json"),
      JSON.stringify({ url, key: hasClientKeys ? undefined : ops?.key }),
      { mode: 0o600 },
    );
  announce(gateway);
  if (own) {
    const note = (text) => say(dim(`· ${text}`));
    watchGateway(options.file, own.devVars, note, (gateway) => {
      wrangler.reload(devVarsOf(gateway));
      announce(gateway);
      note(`${options.file} has changed: the Worker is started again with it.`);
    });
  }
  // Its owner has the keys behind those hashes, we do not.
  const key = client?.key ?? process.env.CLAWFRONT_KEY;
  if (key) await demo(url, key, options, log);

  const seconds = Number(((performance.now() - startedMs) / 1000).toFixed(1));
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({ url, key: key ?? null, gateway: gateway.url, seconds })}\n`,
    );
  else process.stdout.write(summary({ url, key, gateway, seconds }));
  log.follow();

  const gone = await Promise.race([
    wrangler.ended.then(() => "wrangler dev"),
    gateway.ended?.then(() => `the gateway (${gateway.name})`) ?? new Promise(() => {}),
  ]);
  throw new Failure(`${gone} has ended.`, { fix: "start again; its last words are above." });
}

/**
 * Returns the gateway that the file names. Its reader is an npm package, so a checkout without
 * those gets them first.
 */
async function ownGateway(file) {
  if (!existsSync(file)) return undefined;
  await ensureNodePackages();
  return readGateway(file, (text) => say(dim(`· ${text}`)));
}

async function demo(url, key, { json }, log) {
  say(`${dim("▸")} One request through the whole path`);
  const sentMs = performance.now();
  const shown = json ? process.stderr : process.stdout;
  shown.write(`\n  ${dim(`you       ${PROMPT}`)}\n  ${bold("openclaw")}  `);
  let firstMs;
  try {
    const answer = await streamAnswer({
      url,
      key,
      show: (piece) => {
        firstMs ??= performance.now() - sentMs;
        shown.write(piece);
      },
    });
    if (!answer) throw new Failure("the answer was empty.");
  } catch (error) {
    shown.write("\n\n");
    error.output ??= log.lines.join("\n");
    reportOnce("One request through the whole path", error);
    throw error;
  }
  shown.write("\n\n");
  say(
    `${dim("✓")} Answered, first piece after ${firstMs.toFixed(0)} ms ${dim(`${((performance.now() - sentMs) / 1000).toFixed(1)} s`)}`,
  );
}

function summary({ url, key, gateway, seconds }) {
  const shownKey = key ?? "$CLAWFRONT_KEY";
  const rows = [
    `Clawfront is up (${seconds} s)`,
    "",
    `Base URL   ${url}/v1`,
    `Client key ${key ?? "yours, as listed in CLIENT_KEYS; below it stands as $CLAWFRONT_KEY"}`,
    `Gateway    ${gateway.name === gateway.url ? gateway.url : `${gateway.name}, ${gateway.url}`}`,
  ];
  const width = Math.max(...rows.map((row) => row.length));
  const line = "─".repeat(width + 2);
  const box = [`╭${line}╮`, ...rows.map((row) => `│ ${row.padEnd(width)} │`), `╰${line}╯`].join(
    "\n",
  );
  return `
${box}

With curl:

curl -N ${url}/v1/chat/completions \\
  -H "Authorization: Bearer ${shownKey}" -H "Content-Type: application/json" \\
  -d '{"model":"openclaw","stream":true,"messages":[{"role":"user","content":"Hello!"}]}'

With the OpenAI SDK, from this folder:

node --input-type=module -e '
import OpenAI from "openai";
const client = new OpenAI({ baseURL: "${url}/v1", apiKey: ${key ? `"${key}"` : "process.env.CLAWFRONT_KEY"} });
const stream = await client.chat.completions.create({ model: "openclaw", stream: true, messages: [{ role: "user", content: "Hello!" }] });
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
'

A key for another client, at once, from another terminal:

npm run clawfront -- keys new --id phone --agents main

Ctrl-C ends it and everything it started.

`;
}

/** Keeps the Worker's log for a failure's report, and shows it from `follow` on. */
function workerLog() {
  const lines = [];
  let following = false;
  return {
    lines,
    take: (line) => {
      if (following) return say(dim(line));
      lines.push(line);
    },
    follow: () => (following = true),
  };
}

/**
 * The text of a `.dev.vars` file. Single quotes keep a value as it is; tokens, URLs and hashes
 * contain none.
 */
function asDevVars(vars) {
  return `${Object.entries(vars)
    .map(([name, value]) => `${name}='${value}'`)
    .join("\n")}\n`;
}

/**
 * Fails where another process holds the port, with its name and a fix. The processes of a killed
 * run are still ending, and are waited for.
 */
async function ensureFree(port) {
  const ours = () => runs().filter((run) => run.port === port);
  let error = await errorOfListening(port);
  for (
    const giveUpAt = performance.now() + LEFTOVER_MS;
    error && performance.now() < giveUpAt && ours().some(({ owner }) => !isRunning(owner));
  ) {
    await new Promise((resolve) => setTimeout(resolve, LEFTOVER_POLL_MS));
    error = await errorOfListening(port);
  }
  if (!error) return;
  const another = `choose another: \`npm start -- --port ${port === 65_535 ? port - 1 : port + 1}\`.`;
  const holder = error.code === "EADDRINUSE" ? holderOf(port) : undefined;
  if (!holder) throw new Failure(`Port ${port} cannot be used (${error.code}).`, { fix: another });
  const held = `Port ${port} is held by ${holder.name} (process ${holder.pid})`;
  const running = ours().find(({ owner }) => isRunning(owner));
  if (running)
    throw new Failure(`${held}, which an \`npm start\` of this folder runs.`, {
      fix: `end that one with \`kill ${running.owner.pid}\`, or ${another}`,
    });
  if (ours().length > 0)
    throw new Failure(`${held}, which an \`npm start\` that was killed has left.`, {
      fix: `end it with \`kill -- -${holder.group}\`, or ${another}`,
    });
  throw new Failure(`${held}.`, { fix: `end that, or ${another}` });
}

/** The watcher of a killed run ends its programs within four seconds. */
const LEFTOVER_MS = 6_000;
const LEFTOVER_POLL_MS = 100;

function parseOptions() {
  const args = process.argv
    .slice(2)
    .map((arg) => (arg === "--openclaw" ? `--openclaw=${OPENCLAW_VERSION}` : arg));
  try {
    const { values } = parseArgs({
      args,
      options: {
        port: { type: "string", default: "8787" },
        file: { type: "string" },
        json: { type: "boolean" },
        openclaw: { type: "string" },
        help: { type: "boolean" },
      },
    });
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      throw new Error(`'${values.port}' is not a port.`);
    const file = values.file === undefined ? join(ROOT, ".dev.vars") : resolve(values.file);
    if (values.file !== undefined && !existsSync(file))
      throw new Error(`the file ${file} does not exist.`);
    return { ...values, port, file };
  } catch (error) {
    throw new Failure(error.message, { fix: "see `npm start -- --help`." });
  }
}

await runCommand("Start", main);
