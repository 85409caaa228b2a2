// `npm start`: from a fresh clone to an answer streamed through the Worker, which then stays up. See `--help` below.

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { parseArgs, parseEnv } from "node:util";
import { buildWorker } from "./build.mjs";
import { PROMPT, streamAnswer } from "./demo.mjs";
import { installOpenClaw, newClientKey, startOpenClaw, startSimulated } from "./gateways.mjs";
import { buildNative } from "./native.mjs";
import { ROOT } from "./paths.mjs";
import { isEnding, stopAll } from "./processes.mjs";
import { allOrFirstFailure, setUp } from "./setup.mjs";
import { Failure, bold, dim, reportOnce, say, step } from "./steps.mjs";
import { removeAtExit, runFolder, startWrangler } from "./wrangler.mjs";

const HELP = `npm start [-- OPTIONS]

Starts Clawfront on this machine and sends one request through it. Without more it fronts a simulated gateway; with GATEWAY_URL
and its credential in .dev.vars, that gateway.

  --openclaw[=VERSION]  install a real OpenClaw into .cache and front that, with a scripted model behind it
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

  const own = options.openclaw ? undefined : ownGateway();
  const [env, , openClaw] = await allOrFirstFailure([
    setUp().then(async (env) => (await buildWorker(env), env)),
    buildNative(),
    options.openclaw && installOpenClaw(options.openclaw),
  ]);

  const folder = runFolder(options.port);
  const gateway = own ?? (openClaw ? await startOpenClaw(openClaw, folder) : await startSimulated());
  removeAtExit(folder);
  // Which agents another's gateway has is not known here; its owner is who runs this.
  const client = gateway.hasClientKeys ? undefined : await newClientKey(own ? "*" : "main");
  const devVars = [gateway.devVars ?? asDevVars(gateway.vars), client && asDevVars({ CLIENT_KEYS: client.entry })].filter(Boolean).join("\n");
  const log = workerLog();
  const wrangler = await step("Worker in wrangler dev", () => startWrangler({ port: options.port, folder, devVars, env, onLine: log.take }));
  const url = `http://127.0.0.1:${options.port}`;
  // Its owner has the keys behind those hashes, we do not.
  const key = client?.key ?? process.env.CLAWFRONT_KEY;
  if (key) await demo(url, key, options, log);

  const seconds = Number(((performance.now() - startedMs) / 1000).toFixed(1));
  if (options.json) process.stdout.write(`${JSON.stringify({ url, key: key ?? null, gateway: gateway.url, seconds })}\n`);
  else process.stdout.write(summary({ url, key, gateway, seconds }));
  log.follow();

  const gone = await Promise.race([wrangler.ended.then(() => "wrangler dev"), gateway.ended?.then(() => `the gateway (${gateway.name})`) ?? new Promise(() => {})]);
  throw new Failure(`${gone} has ended.`, { mend: "start again; its last words are above." });
}

/** The gateway that `.dev.vars` names, if it does. The file is read, never written. */
function ownGateway() {
  const file = join(ROOT, ".dev.vars");
  if (!existsSync(file)) return undefined;
  const devVars = readFileSync(file, "utf8");
  const vars = parseEnv(devVars);
  if (!vars.GATEWAY_URL) {
    say(dim("· .dev.vars names no GATEWAY_URL and is not used: this run fronts the simulated gateway."));
    return undefined;
  }
  if (!["GATEWAY_TOKEN", "GATEWAY_PASSWORD", "DEVICE_TOKEN"].some((name) => vars[name])) {
    throw new Failure(".dev.vars names GATEWAY_URL but no credential for it.", {
      mend: "add DEVICE_KEY and DEVICE_TOKEN (`npm run clawfront -- device --help`) or GATEWAY_TOKEN.",
    });
  }
  return { name: vars.GATEWAY_URL, url: vars.GATEWAY_URL, devVars, hasClientKeys: Object.keys(vars).some((name) => /^CLIENT_KEYS(_\d+)?$/.test(name)) };
}

async function demo(url, key, { json }, log) {
  say(`${dim("▸")} One request through the whole path`);
  const sentMs = performance.now();
  const shown = json ? process.stderr : process.stdout;
  shown.write(`\n  ${dim(`you       ${PROMPT}`)}\n  ${bold("openclaw")}  `);
  let firstMs;
  try {
    const answer = await streamAnswer({ url, key, show: (piece) => ((firstMs ??= performance.now() - sentMs), shown.write(piece)) });
    if (!answer) throw new Failure("the answer was empty.");
  } catch (error) {
    shown.write("\n\n");
    error.output ??= log.lines.join("\n");
    reportOnce("One request through the whole path", error);
    throw error;
  }
  shown.write("\n\n");
  say(`${dim("✓")} Answered, first piece after ${firstMs.toFixed(0)} ms ${dim(`${((performance.now() - sentMs) / 1000).toFixed(1)} s`)}`);
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
  const box = [`╭${line}╮`, ...rows.map((row) => `│ ${row.padEnd(width)} │`), `╰${line}╯`].join("\n");
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

/** The text of a `.dev.vars` file. Single quotes keep a value as it is; tokens, URLs and hashes contain none. */
function asDevVars(vars) {
  return `${Object.entries(vars).map(([name, value]) => `${name}='${value}'`).join("\n")}\n`;
}

async function ensureFree(port) {
  const error = await new Promise((resolve) => {
    const server = createServer().once("error", resolve).listen(port, "127.0.0.1", () => server.close(() => resolve()));
  });
  if (error) throw new Failure(`Port ${port} cannot be used (${error.code}).`, { mend: `choose another: \`npm start -- --port ${port + 1}\`.` });
}

function parseOptions() {
  const args = process.argv.slice(2).map((arg) => (arg === "--openclaw" ? `--openclaw=${OPENCLAW_VERSION}` : arg));
  try {
    const { values } = parseArgs({
      args,
      options: { port: { type: "string", default: "8787" }, json: { type: "boolean" }, openclaw: { type: "string" }, help: { type: "boolean" } },
    });
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`'${values.port}' is not a port.`);
    return { ...values, port };
  } catch (error) {
    throw new Failure(error.message, { mend: "see `npm start -- --help`." });
  }
}

try {
  await main();
} catch (error) {
  // Told to end: whoever does that also says with which code.
  if (!isEnding()) {
    reportOnce("Start", error);
    await stopAll();
    process.exit(1);
  }
}
