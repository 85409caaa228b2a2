// `clawfront start`: the Worker in front of a simulated gateway, with one streamed answer. It needs
// no settings and keeps nothing.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PROMPT, streamAnswer } from "../scripts/demo.mjs";
import { removeWhenGone } from "../scripts/processes.mjs";
import { newClientKey, startSimulated } from "../scripts/simulated.mjs";
import { bold, dim, Failure } from "../scripts/steps.mjs";
import { nativeProgram } from "./native.mjs";
import { startRuntime } from "./runtime.mjs";

const HELP = `clawfront start [OPTIONS]

Starts the Worker in front of a simulated gateway on this machine, and sends one request through it.
It stays up until Ctrl-C. \`clawfront serve\` serves a gateway of yours.

  --port N   listen on this port of 127.0.0.1, 0 for any free one (8787)
  --json     when ready, print one line {"url","key","gateway","seconds"}
  --help     print this
`;

export async function tryOut(args) {
  const options = parseOptions(args);
  if (options.help) return process.stdout.write(HELP);
  const native = { cli: nativeProgram("clawfront"), sim: nativeProgram("clawfront-sim") };
  const folder = mkdtempSync(join(tmpdir(), "clawfront-start-"));
  removeWhenGone(folder);
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const gateway = await startSimulated(native);
  const { key, entry } = await newClientKey("demo", ["--agents", "main"], native);
  const runtime = await startRuntime({
    host: "127.0.0.1",
    port: options.port,
    settings: { ...gateway.vars, CLIENT_KEYS: entry },
    folder,
    stdio: ["ignore", "inherit"],
  });
  const url = `http://127.0.0.1:${runtime.port}`;
  await demo(url, key, options.json ? process.stderr : process.stdout);
  const seconds = Number(process.uptime().toFixed(1));
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ url, key, gateway: gateway.url, seconds })}\n`
      : summary({ url, key, seconds }),
  );
  const gone = await Promise.race([
    runtime.ended.then(() => "workerd"),
    gateway.ended.then(() => "the simulated gateway"),
  ]);
  throw new Failure(`${gone} has ended.`, { fix: "start again." });
}

async function demo(url, key, shown) {
  shown.write(`\n  ${dim(`you       ${PROMPT}`)}\n  ${bold("openclaw")}  `);
  const answer = await streamAnswer({ url, key, show: (piece) => shown.write(piece) });
  shown.write("\n\n");
  if (!answer) throw new Failure("the answer was empty.");
}

const summary = ({
  url,
  key,
  seconds,
}) => `Clawfront is up (${seconds} s), with a simulated gateway.

Base URL   ${url}/v1
Client key ${key}

curl -N ${url}/v1/chat/completions \\
  -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" \\
  -d '{"model":"openclaw","stream":true,"messages":[{"role":"user","content":"Hello!"}]}'

Next, with your gateway:

npx clawfront setup --gateway ws://127.0.0.1:18789
npx clawfront serve

Ctrl-C ends this one.
`;

function parseOptions(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        port: { type: "string", default: "8787" },
        json: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65_535)
      throw new Error(`--port ${values.port} is not a port.`);
    return { ...values, port: Number(values.port) };
  } catch (error) {
    throw new Failure(error.message, { fix: "see `clawfront start --help`." });
  }
}
