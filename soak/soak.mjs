// Makes calls by the thousand against one Worker in workerd, and checks all of them. `npm run soak`
// is the command.

import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { newDevice, newKey, until } from "../tests/support/front.mjs";
import { startSim } from "../tests/support/sim.mjs";
import { CUT, call, DISTURBANCES, KEYS, LOSSES, randomness } from "./calls.mjs";
import { make } from "./client.mjs";
import { startFront } from "./front.mjs";

/**
 * Between two rounds everything is at rest: the sockets, the runs and the memory are looked at
 * then.
 */
const ROUND_CALLS = 500;
/**
 * By when a call is over at the gateway, too. A client that leaves in silence is noticed at the
 * next heartbeat, after 15 s. A hub that was lost may look for a run for 10 s whose request was
 * lost, too.
 */
const CLOSED_MS = 2_000;
const CLOSED_LATE_MS = 18_000;
/** How often something happens to all calls that are under way, in calls. */
const DISTURBED_EVERY_CALLS = 40;
/** The share of these in which the hub is lost, in the rounds of the warm-up. */
const LOST_SHARE = 0.6;
/** For how long a disturbance may explain an end, in milliseconds. */
const DISTURBED_MS = 3_000;
/** For how long the loss of a connection may explain an end, in milliseconds. */
const LOST_MS = 1_000;
/** How often memory is looked at under load, in milliseconds. */
const SAMPLE_MS = 500;
/**
 * The memory at rest may differ by this much between the middle third of the rounds and the last
 * third; the first third is warm-up. The greater one counts.
 */
const GROWTH_SHARE = 0.1;
const GROWTH_MIB = 8;
/**
 * From this latency of the Worker's health endpoint on, in milliseconds, the machine counts as
 * busy, and these ends are allowed: OpenClaw 2026.3 closes a connection whose handshake takes 3 s.
 */
const BUSY_MS = 1_500;
const LATE_ENDS = [
  "gateway_connect_timeout",
  "gateway_handshake_timeout",
  "gateway_acceptance_timeout",
  "gateway_closed",
];
/** Clients that make two requests: the run may belong to the other one. */
const TWO_REQUESTS = ["twice", "again", "retries", "reuses"];
/** Fewer rounds than that say nothing about growth. */
const MIN_ROUNDS = 6;

/**
 * Runs `runs` calls of `protocol`, `concurrency` at a time.
 * @returns the figures; `problems` is empty if every call was right.
 */
export async function soak({
  protocol,
  runs,
  concurrency,
  seed,
  silence = true,
  binary,
  onRound = () => {},
}) {
  const hasEndpoint = protocol === 4;
  const args = ["--agent", "main", ...(hasEndpoint ? ["--chat-completions", "trusted-proxy"] : [])];
  const sim = await startSim({ protocol, binary, args });
  const keys = Object.fromEntries(
    Object.entries(KEYS).map(([id, options]) => [id, newKey(id, "main", ...options)]),
  );
  const vars = {
    GATEWAY_URL: sim.url,
    GATEWAY_TOKEN: sim.token,
    DEVICE_KEY: newDevice().device_key,
    CLIENT_KEYS: Object.values(keys)
      .map(({ entry }) => entry)
      .join("\n"),
    ...(hasEndpoint && { GATEWAY_HTTP: "trusted-proxy" }),
    // Calls at the same time share a connection, and none is left after the last one.
    LINK_IDLE: "0",
  };
  const front = await startFront(vars, keys.plain.key);
  const secrets = Object.fromEntries(Object.entries(keys).map(([id, { key }]) => [id, key]));
  secrets.stranger = newKey("stranger", "main").key;

  const seen = {
    protocol,
    seed,
    calls: 0,
    started: 0,
    ends: {},
    losses: 0,
    late: 0,
    rest: [],
    peakMib: 0,
    problems: [],
  };
  const sampler = setInterval(async () => {
    if (front.losses % 2 === 0) seen.peakMib = Math.max(seen.peakMib, memoryMib(front.pid));
    const askedMs = performance.now();
    // The last one is cut off with the Worker.
    await fetch(`${front.url}/healthz`).then(
      (response) => response.text(),
      () => {},
    );
    if (performance.now() - askedMs > BUSY_MS) seen.isBusy = true;
  }, SAMPLE_MS);
  try {
    // Another process has other memory, and so has a runtime whose object was aborted, so the hub
    // is lost during the warm-up alone.
    const warmUpCalls = Math.max(Math.floor(Math.ceil(runs / ROUND_CALLS) / 3), 1) * ROUND_CALLS;
    for (let begin = 0; begin < runs; begin += ROUND_CALLS) {
      const numbers = Array.from(
        { length: Math.min(ROUND_CALLS, runs - begin) },
        (_, index) => begin + index,
      );
      const calls = numbers.map((number) => call(number, { seed, protocol, silence }));
      // Without its client, the run of one that leaves in silence goes on for half a minute.
      const losesHub = begin < warmUpCalls && !calls.some(({ silent }) => silent);
      await round(calls, { sim, front, losesHub, keys: secrets, concurrency, seed, seen });
      seen.rest.push(memoryMib(front.pid));
      onRound(seen);
    }
  } finally {
    clearInterval(sampler);
    await front.stop();
    await sim.stop();
  }
  seen.growth = growth(seen.rest);
  if (
    seen.growth &&
    seen.growth.late - seen.growth.middle > Math.max(seen.growth.middle * GROWTH_SHARE, GROWTH_MIB)
  ) {
    seen.problems.push(
      `memory at rest grew from ${seen.growth.middle} MiB to ${seen.growth.late} MiB`,
    );
  }
  return seen;
}

async function round(calls, { sim, front, losesHub, keys, concurrency, seed, seen }) {
  const random = randomness(seed ^ calls[0].number);
  const disturbances = [];
  const outcomes = [];
  const waiting = [...calls];
  const loseHub = async () => {
    const loss = { ...random.one(LOSSES), atMs: performance.now(), untilMs: Infinity };
    disturbances.push(loss);
    await front.lose(loss.fault);
    loss.untilMs = performance.now() + DISTURBED_MS;
    seen.losses += 1;
  };
  const disturb = async () => {
    if (losesHub && random.chance(LOST_SHARE)) return loseHub();
    const disturbance = { ...random.one(DISTURBANCES), atMs: performance.now(), untilMs: Infinity };
    const { fault } = disturbance;
    disturbances.push(disturbance);
    if (fault) await sim.fault(fault, 1);
    await sim.drop(random.one([null, 1001, 1012]));
    disturbance.untilMs = performance.now() + DISTURBED_MS;
  };
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      if (next.number % DISTURBED_EVERY_CALLS === DISTURBED_EVERY_CALLS - 1) await disturb();
      const beganMs = performance.now();
      const outcome = await make(next, { front, keys });
      outcomes.push({ call: next, ...outcome, beganMs, endedMs: performance.now() });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  await sim.fault(null);

  const hasSilent = calls.some(({ silent }) => silent);
  // The runs of these go on where nothing stops them, and are followed until they end.
  if (hasSilent && seen.protocol === 3) {
    await sleep(CLOSED_LATE_MS);
    await sim.resume();
  }
  const isLate = losesHub || (hasSilent && seen.protocol === 4);
  const limitMs = isLate ? CLOSED_LATE_MS : CLOSED_MS;
  // A run that goes on may be without a socket for a moment, until its connection is there again.
  const left = async () => {
    const { open_connections: sockets, runs } = await sim.journal();
    return { sockets, runs: runs.filter(({ ended }) => ended === "running").length };
  };
  const isAtRest = async () => {
    const { sockets, runs } = await left();
    return sockets === 0 && runs === 0;
  };
  await until("everything is at rest", isAtRest, limitMs).catch(async () => {
    const { sockets, runs } = await left();
    seen.problems.push(
      `${sockets} sockets open, ${runs} runs going, ${limitMs} ms after the last call`,
    );
  });
  const { runs, closes } = await sim.journal();
  disturbances.push(...closes.filter(({ by }) => by === "sim").map(lossOf));
  const runsOf = new Map();
  for (const run of runs) {
    const number = Number(run.sessionKey.match(/=call-(\d+)$/)?.[1]);
    runsOf.set(number, [...(runsOf.get(number) ?? []), run]);
  }
  for (const outcome of outcomes)
    judge(outcome, {
      disturbances,
      runs: runsOf.get(outcome.call.number) ?? [],
      log: front.log,
      seen,
    });
  seen.calls += outcomes.length;
  seen.started += runs.length;
  const died = front.log.filter((line) => /Rust panic|RuntimeError|"cause":"panic"/.test(line));
  if (died.length > 0) seen.problems.push(`the Worker panicked: ${died[0]}`);
  // Only the last round's lines are looked at, and nothing is kept of the others.
  front.forgetLog();
  await sim.reset();
  seen.isBusy = false;
}

/**
 * Returns the loss of a connection by the gateway as a disturbance: calls share the connection, so
 * one whose own run cuts it disturbs the others.
 */
const lossOf = ({ at_ms: closedMs }) => {
  const atMs = closedMs - performance.timeOrigin;
  return { ...CUT, fault: "loss", atMs, untilMs: atMs + LOST_MS };
};

/** Checks that the call has an allowed end, and an allowed number of runs. */
function judge(
  { call, end, wrong, isApart, isAgain, id, beganMs, endedMs },
  { disturbances, runs, log, seen },
) {
  seen.ends[end] = (seen.ends[end] ?? 0) + 1;
  const met = disturbances.filter(({ atMs, untilMs }) => untilMs >= beganMs && atMs <= endedMs);
  // It happens to every call on the connection. After a connection was lost, the Worker asks about
  // its run and does not start it again: the gateway may not have received it. On protocol 3 a text
  // that began again before a loss looks like its beginning.
  const couldBeWithoutRun = runs.length === 0 || isAgain || TWO_REQUESTS.includes(call.client);
  const cause = met.find(
    ({ endsWithoutRun, endsOf, endsOnV3 = [] }) =>
      (couldBeWithoutRun && endsWithoutRun.includes(end)) ||
      (seen.protocol === 3 && endsOnV3.includes(end)) ||
      endsOf[call.kind]?.includes(end),
  );
  // No deadline holds on a machine without free CPU time.
  const isLate = !cause && LATE_ENDS.includes(end) && seen.isBusy;
  // Another request is not lost on its way.
  const isAskedAgain = isAgain && call.kind === "request lost" && end === "answer";
  const isExplained = call.ends.includes(end) || cause || isLate || isAskedAgain;
  if (!call.ends.includes(end) && !isAskedAgain && isLate) seen.late += 1;
  const problem = (what) => {
    const form = `${call.kind}, key ${call.key}, ${call.stream ? "stream" : "whole"}, ${runs.map(({ ended }) => ended).join(" ") || "no run"}`;
    const { cause, hint } = JSON.parse(log.findLast((line) => id && line.includes(id)) ?? "{}");
    const disturbedBy = met.map(({ fault }) => fault ?? "drop").join(", ");
    seen.problems.push(
      `call ${call.number} (${form}): ${what}; log: ${cause ?? "-"} ${hint ?? ""}; met ${disturbedBy || "nothing"}`,
    );
  };
  if (wrong) problem(`${end}: ${wrong}`);
  if (!isExplained) problem(`ended as '${end}', which it may not`);
  const [least, most] = [call.runs].flat().length === 2 ? call.runs : [call.runs, call.runs];
  const mayBegin = isApart ? 2 : isAskedAgain ? 1 : most;
  if (runs.length > mayBegin) problem(`${runs.length} runs for one call`);
  if (end === "answer" && runs.length < Math.max(least, 1)) problem("an answer without a run");
  // A call that has ended for its client has ended, except where nothing stops a run after its
  // client left, or got the error that the run is lost.
  const isUnstoppable = seen.protocol === 3 && ["left", "gateway_connection_lost"].includes(end);
  const mayGoOn = isUnstoppable || (end === "left" && call.key === "finisher");
  if (!mayGoOn && runs.some(({ ended }) => ended === "running"))
    problem("a run that goes on after its call");
}

const memoryMib = (pid) =>
  Math.round(
    Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) / 1024,
  );

/** Medians of the middle and the last third. */
function growth(rest) {
  if (rest.length < MIN_ROUNDS) return undefined;
  const third = Math.floor(rest.length / 3);
  return { middle: median(rest.slice(third, -third)), late: median(rest.slice(-third)) };
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
