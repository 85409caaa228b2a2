// One call of a user with one program, in front of a simulated gateway where things go wrong: how
// it ended for the user, how many runs the gateway started, and how many requests the Worker had.

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CACHE } from "../../../scripts/paths.mjs";
import { collect, start, stop } from "../../../scripts/processes.mjs";
import { lines, startFront, until } from "../../support/front.mjs";
import { startLossyNetwork } from "../../support/lossy.mjs";
import { freePort } from "../../support/ports.mjs";
import { words } from "../../support/prompts.mjs";

const DELTAS = 6;
/** The text at which an answer is cut. */
const CUT_AT = "w2";

/**
 * `directive` is the run's script; `fault` affects every connection to the gateway; `gateway:
 * false` is a Worker whose gateway does not exist; `cut` is the side that loses the connection in
 * the middle of the answer: the client alone, or the Worker, too.
 */
export const SCENARIOS = [
  { name: "answer", directive: `deltas=${DELTAS}`, answers: true },
  { name: "before a run, gateway_unreachable", directive: `deltas=${DELTAS}`, gateway: false },
  {
    name: "before a run, gateway_closed",
    directive: `deltas=${DELTAS}`,
    fault: "close-before-challenge",
  },
  { name: "before a run, gateway_refused", directive: `deltas=${DELTAS}`, fault: "html-200" },
  { name: "accepted, a status before the first words", directive: "error=500" },
  // After the head of the stream, which is held for 2 s.
  { name: "accepted, an event before the first words", directive: "error=500 retry=50" },
  { name: "in mid-stream", directive: "deltas=20 delay=20 streamerror=6" },
  {
    name: "cut in mid-stream, unnoticed by the Worker",
    directive: `deltas=${DELTAS} delay=300`,
    cut: "client",
  },
  { name: "cut in mid-stream", directive: "deltas=60 delay=300", cut: "both" },
];

/** aider retries for minutes after a failure before a run. The figures are those up to then. */
const CALL_LIMIT_MS = 100_000;
/** A run without a client ends by itself. */
const RUN_LIMIT_MS = 40_000;
const SHOWN_CHARS = 110;

/** Starts a gateway, a Worker in front of it, and a Worker whose gateway does not exist. */
export async function startFronts() {
  const front = await startFront();
  const alone = await startFront({ vars: { GATEWAY_URL: `ws://127.0.0.1:${await freePort()}` } });
  return { front, alone, stop: () => Promise.all([front.stop(), alone.stop()]) };
}

/** Makes one call: `{ runs, requests, end, shown, isAnswer }`. */
export async function callOnce(app, scenario, fronts) {
  const front = scenario.gateway === false ? fronts.alone : fronts.front;
  await front.sim.reset();
  if (scenario.fault) await front.sim.fault(scenario.fault, null);
  const seen = requestsOf(front.worker).length;
  const network =
    scenario.cut && (await startLossyNetwork(front.worker.port, cutting(scenario.cut)));
  const home = join(CACHE, "apps/homes", app.name.replace(/\W+/g, "-"));
  const work = join(home, "work");
  try {
    rmSync(home, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    const prompt = `hello [[fake ${scenario.directive}]]`;
    const { command, args, env } = app.call({
      baseURL: `${network?.url ?? front.worker.url}/v1`,
      key: front.phone.key,
      prompt,
      home,
    });
    const { end, output } = await runProgram(command, args, {
      cwd: work,
      env: { ...process.env, ...OFFLINE, HOME: home, ...env },
    });
    await until(
      "no run is going on",
      async () => (await front.sim.journal()).runs.every(({ ended }) => ended !== "running"),
      RUN_LIMIT_MS,
    );
    const { runs } = await front.sim.journal();
    const text = output.join(" ");
    // A program may break the lines of its output.
    const answer = words(
      Number(scenario.directive.match(/deltas=(\d+)/)?.[1] ?? DELTAS),
    ).replaceAll(" ", "\\s+");
    const isAnswer = new RegExp(`\\b${answer}\\b`).test(text);
    return {
      runs: runs.length,
      requests: requestsOf(front.worker).length - seen,
      end,
      isAnswer,
      shown: isAnswer ? "the answer" : shown(output),
    };
  } finally {
    network?.stop();
  }
}

/** Other traffic of a program goes to a port without a listener. */
const OFFLINE = {
  HTTPS_PROXY: "http://127.0.0.1:9",
  https_proxy: "http://127.0.0.1:9",
  NO_PROXY: "127.0.0.1,localhost",
  no_proxy: "127.0.0.1,localhost",
  NO_COLOR: "1",
  TERM: "dumb",
};

async function runProgram(command, args, options) {
  const child = start(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) collect(stream, (line) => output.push(line));
  const limit = new AbortController();
  const late = new Promise((resolve) => {
    const timer = setTimeout(() => resolve("late"), CALL_LIMIT_MS);
    limit.signal.addEventListener("abort", () => clearTimeout(timer));
  });
  const end = await Promise.race([child.ended, late]);
  limit.abort();
  await stop(child);
  if (end === "late") return { end: `no end in ${CALL_LIMIT_MS / 1000} s`, output };
  return { end: end.error?.message ?? end.signal ?? `exit ${end.code}`, output };
}

/** Returns the last line of a program's output that mentions a failure, else its last line. */
function shown(output) {
  const all = output.map((line) => line.replace(/\x1b\[[\d;]*m/g, "").trim()).filter(Boolean);
  const line =
    all.findLast((line) => /error|fail|refus|lost|closed|unreachable|abort/i.test(line)) ??
    all.at(-1) ??
    "nothing";
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}…` : line;
}

const requestsOf = (worker) =>
  lines(worker).filter(
    ({ route }) => route === "/v1/chat/completions" || route === "/v1/responses",
  );

/** Breaks the first connection in the middle of the answer. */
const cutting =
  (far) =>
  ({ answer, client, server }) => {
    if (client.destroyed) return;
    const cut = answer.indexOf(CUT_AT);
    client.write(answer.subarray(client.bytesWritten, cut < 0 ? answer.length : cut));
    if (cut < 0) return;
    client.resetAndDestroy();
    if (far === "both") server.destroy();
  };
