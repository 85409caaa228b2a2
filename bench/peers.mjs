// Measures alternatives to the Worker in front of a gateway: the gateway's own endpoint without a
// proxy, and proxies and LLM gateways before it. All use one real OpenClaw with a scripted model,
// through the same tunnel.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newKey } from "../tests/support/front.mjs";
import { version as openClawVersion, startOpenClawFront } from "../tests/support/openclaw.mjs";
import { startWorker } from "../tests/support/worker.mjs";
import { ask } from "./load.mjs";
import { PEERS } from "./peers/programs.mjs";
import { startTap } from "./peers/tap.mjs";
import { costOf, processTree, residentBytes } from "./process.mjs";
import { percentile, round, row } from "./statistics.mjs";

export const name = "peers";

const DIRECTLY = "asked directly";
const OURS = "Clawfront";
const AGENT = "openclaw/main";

/** Requests through each, as many of them as there is time for. */
const FULL = {
  streamed: { most: 16, limitMs: 30_000 },
  atOnce: { most: 8, limitMs: 15_000 },
  warmUp: 2,
  starts: 2,
  hangUps: 2,
};
const QUICK = {
  streamed: { most: 2, limitMs: 0 },
  atOnce: { most: 2, limitMs: 0 },
  warmUp: 1,
  starts: 1,
  hangUps: 1,
};
/** Whatever the time. */
const LEAST = 2;

const ANSWER = "hi [[fake deltas=100 delay=0]]";
/** It goes on for longer than is waited for its end. */
const LONG_ANSWER = "hi [[fake deltas=50 delay=50]]";
const ABORT_LIMIT_MS = 2_000;
const LONGEST_MS = 10_000;
const SETTLE_MS = 1_000;
const IDLE_MS = 3_000;
const START_LIMIT_MS = 60_000;
/** A peer that takes this long to start is started once. */
const LONG_START_MS = 5_000;
const REQUEST_LIMIT_MS = 20_000;
const POLL_MS = 10;
const MIB = 1024 * 1024;

export async function measure({ quick, builds, say }) {
  const counts = quick ? QUICK : FULL;
  const dir = mkdtempSync(join(tmpdir(), "clawfront-peers-"));
  const cleanUp = [() => rmSync(dir, { recursive: true, force: true })];
  try {
    const key = newKey("bench", "main", "--default", "main");
    const front = await startOpenClawFront({ entries: [key.entry] });
    cleanUp.push(front.stop);
    await front.worker.stop();
    const contestants = [];
    for (const entry of [
      directly(front),
      clawfront(front, key, builds),
      ...PEERS.map((peer) => peerOf(peer, front, dir)),
    ]) {
      const tap = await startTap(Number(new URL(front.tunnel.url).port));
      cleanUp.push(tap.stop);
      contestants.push(await startUp(entry, tap, counts.starts, cleanUp));
      say(`  ${entry.label} ${contestants.at(-1).version}`.trimEnd());
    }
    const others = contestants.filter(({ label }) => label !== DIRECTLY);

    await takeTurns(contestants, { most: counts.warmUp, limitMs: 0 }, false);
    await takeTurns(contestants, { most: counts.warmUp, limitMs: 0 }, true);
    await idle(contestants);
    const streamed = await takeTurns(contestants, counts.streamed, true);
    say(`  ${requestsOf(streamed)} streamed through each`);
    const atOnce = await takeTurns(contestants, counts.atOnce, false);
    say(`  ${requestsOf(atOnce)} at once through each`);
    const memory = others.map(
      ({ pids }) => pids.reduce((sum, one) => sum + residentBytes(one), 0) / MIB,
    );
    const wrongKey = [];
    for (const contestant of contestants) wrongKey.push(await withWrongKey(contestant));
    const left = { streamed: [], "at once": [] };
    for (const [how, found] of Object.entries(left)) {
      for (const contestant of contestants)
        found.push(await hangUps(contestant, front.provider, how === "streamed", counts.hangUps));
      say(`  left, ${how}`);
    }

    const percentiles = (label, values) =>
      [0.5, 0.95].map((share) => ({
        label: `${label}, p${share * 100}`,
        value: round(percentile(values, share)),
        unit: "ms",
      }));
    const beyond = (title, figures, what) =>
      contestants.flatMap(({ label }, index) => {
        if (label === DIRECTLY) return percentiles(`${title}: ${label}`, figures[index][what]);
        return percentiles(
          `${title}, beyond asked directly: ${label}`,
          figures[index][what].map((ms, nth) => ms - figures[0][what][nth]),
        );
      });
    const rows = [
      ...beyond("first token", streamed, "firstMs"),
      ...contestants.flatMap(({ label }, index) =>
        percentiles(`first token, outside of the gateway: ${label}`, streamed[index].outsideMs),
      ),
      ...beyond("whole answer, streamed", streamed, "wholeMs"),
      ...beyond("whole answer, at once", atOnce, "wholeMs"),
      ...others.map(({ label }) => cpuRow("streamed", label, streamed, contestants)),
      ...others.map(({ label }) => cpuRow("at once", label, atOnce, contestants)),
      ...others.map(({ label }, index) => ({
        label: `memory: ${label}`,
        value: round(memory[index]),
        unit: "MiB",
      })),
      ...others.map(({ label, startsMs }) =>
        row(`start to the first answer: ${label}`, startsMs, "ms"),
      ),
      ...Object.entries(left).flatMap(([how, found]) =>
        contestants.map(({ label }, index) => ({
          label: `client leaves, ${how}: ${label}, model calls ended within 2 s`,
          value: found[index].filter(Number.isFinite).length,
          unit: `of ${counts.hangUps}`,
        })),
      ),
      ...contestants.map(({ label }, index) => ({
        label: `wrong key, HTTP ${wrongKey[index].status}: ${label}, sent on to the gateway`,
        value: wrongKey[index].bytes,
        unit: "bytes",
      })),
    ];
    return {
      title: `Beside others, OpenClaw ${openClawVersion}`,
      rows,
      notes: [
        `${others.map(({ label, version }) => `${label} ${version}`.trimEnd()).join(", ")}. One worker each, connections to the gateway kept where they can be. \`${ANSWER}\`: ${requestsOf(streamed)} requests streamed and ${requestsOf(atOnce)} at once through each, in turn, in another order each time.`,
        "Beyond asked directly: the difference to the request of the same turn that was asked directly. Most of the time is the gateway's, and differs by more from one request to the next than a proxy takes; so the time outside of the gateway stands beside it, from the sending of the question to its last byte's passing a line before the gateway, and from the first word's passing there to its coming to the client.",
        "CPU is that of all processes of the peer, less what they use idle. Memory is resident, after all of these requests, and pages that processes share are counted for each. The first answer holds about as much of the gateway's own time as one that is asked directly.",
      ],
      plot: {
        unit: "ms",
        bars: contestants.map(({ label }, index) =>
          row(`first token, outside: ${label}`, streamed[index].outsideMs, "ms"),
        ),
      },
    };
  } finally {
    for (const end of cleanUp.reverse()) await end();
  }
}

/** Each is `{ label, version(), start(port) }`; `port` is the way to the gateway. */
const directly = (front) => ({
  label: DIRECTLY,
  version: () => "",
  start: (port) => ({
    url: `http://127.0.0.1:${port}`,
    key: front.token,
    headers: {},
    log: [],
    stop: () => {},
  }),
});

function clawfront(front, key, builds) {
  const vars = {
    CLIENT_KEYS: key.entry,
    DEVICE_KEY: front.device.device_key,
    DEVICE_TOKEN: front.device.device_token,
  };
  return {
    label: OURS,
    version: () => "",
    start: async (port) =>
      Object.assign(
        await startWorker({
          ...builds.ours,
          vars: { ...vars, GATEWAY_URL: `ws://127.0.0.1:${port}` },
        }),
        { key: key.key, headers: {} },
      ),
  };
}

function peerOf({ label, version, start }, { token }, dir) {
  const own = join(dir, label);
  return {
    label,
    version,
    start: (port) => {
      mkdirSync(own, { recursive: true });
      return start({ port, token, dir: own });
    },
  };
}

/** Starts it `times` times, each time until its first answer. The last one keeps running. */
async function startUp({ label, version, start }, tap, times, cleanUp) {
  const startsMs = [];
  for (let nth = 1; ; nth += 1) {
    const startedMs = performance.now();
    const contestant = Object.assign(await start(tap.port), { label, tap });
    const end = async () => contestant.stop();
    try {
      await firstAnswer(contestant, startedMs);
      startsMs.push(performance.now() - startedMs);
    } catch (error) {
      await end();
      throw error;
    }
    if (nth < times && startsMs[0] < LONG_START_MS) {
      await end();
      continue;
    }
    cleanUp.push(end);
    return Object.assign(contestant, { startsMs, version: await version() });
  }
}

async function firstAnswer(contestant, startedMs) {
  const body = turnOf("hi [[fake deltas=1 delay=0]]", false);
  while (
    performance.now() - startedMs < START_LIMIT_MS &&
    (contestant.child?.exitCode ?? null) === null
  ) {
    const answer = await send(contestant, body).catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(POLL_MS);
  }
  throw new Error(
    `${contestant.label} ended, or did not answer within ${START_LIMIT_MS / 1_000} s:\n${contestant.log.slice(-20).join("\n")}`,
  );
}

/**
 * Finds the processes of each peer, and their CPU time while no request is sent: `pids`,
 * `idleUsPerSecond`.
 */
async function idle(contestants) {
  for (const contestant of contestants)
    contestant.pids = contestant.pid === undefined ? [] : processTree(contestant.pid);
  // Work after the last answer is not part of it.
  await sleep(SETTLE_MS);
  const cost = await costOf(
    contestants.flatMap(({ pids }) => pids),
    () => sleep(IDLE_MS),
  );
  for (const [index, us] of perContestant(contestants, cost).entries())
    contestants[index].idleUsPerSecond = us / cost.seconds;
}

/**
 * Sends requests to all in turn, so that a disturbance of the machine affects all of them. Returns
 * for each `{ firstMs, outsideMs, wholeMs, cpuMs }`, lists except the last, which is per request.
 */
async function takeTurns(contestants, { most, limitMs }, streamed) {
  const figures = contestants.map(() => ({ firstMs: [], outsideMs: [], wholeMs: [] }));
  const body = turnOf(ANSWER, streamed);
  const one = async (index) => {
    const { tap } = contestants[index];
    tap.reset();
    const startedMs = performance.now();
    const answer = await send(contestants[index], body);
    figures[index].wholeMs.push(performance.now() - startedMs);
    complain(contestants[index], answer, streamed);
    if (!streamed) return;
    figures[index].firstMs.push(answer.firstMs);
    figures[index].outsideMs.push(answer.firstMs - (tap.firstMs - tap.askedMs));
  };
  const cost = await costOf(
    contestants.flatMap(({ pids }) => pids ?? []),
    async () => {
      const startedMs = performance.now();
      for (
        let nth = 0;
        nth < Math.min(most, LEAST) || (nth < most && performance.now() - startedMs < limitMs);
        nth += 1
      ) {
        for (let place = 0; place < contestants.length; place += 1)
          await one((place + nth) % contestants.length);
      }
    },
  );
  for (const [index, us] of perContestant(contestants, cost).entries()) {
    figures[index].cpuMs =
      (us - contestants[index].idleUsPerSecond * cost.seconds) / requestsOf(figures) / 1_000;
  }
  return figures;
}

/** Returns the CPU time of all processes of each contestant. */
function perContestant(contestants, { us }) {
  let end = 0;
  return contestants.map(({ pids = [] }) => {
    const begin = end;
    end += pids.length;
    return us.slice(begin, end).reduce((sum, one) => sum + one, 0);
  });
}

const requestsOf = ([{ wholeMs }]) => wholeMs.length;

const cpuRow = (how, label, figures, contestants) => {
  const { cpuMs } = figures[contestants.findIndex((contestant) => contestant.label === label)];
  return { label: `CPU per request, ${how}: ${label}`, value: round(cpuMs), unit: "ms" };
};

/**
 * How long after its client has left each of some model calls ended; `Infinity` where it did not in
 * the time that it has for it.
 */
async function hangUps(contestant, provider, streamed, times) {
  const found = [];
  for (let nth = 0; nth < times; nth += 1) {
    const before = provider.requests.length;
    const request = post(contestant, turnOf(LONG_ANSWER, streamed));
    const leaves = new Promise((resolve, reject) => {
      request.on("error", reject).on("response", (response) => {
        response.on("error", () => {}).on("data", (chunk) => FIRST_DELTA.test(chunk) && resolve());
      });
    });
    leaves.catch(() => {});
    await bounded(
      contestant,
      streamed ? leaves : until(() => provider.requests[before]?.deltas > 0),
    );
    const call = provider.requests[before];
    request.destroy();
    const leftMs = performance.now();
    while (!call.aborted && !call.finished && performance.now() - leftMs < ABORT_LIMIT_MS)
      await sleep(POLL_MS);
    found.push(call.aborted ? performance.now() - leftMs : Infinity);
    // The next one finds an idle gateway.
    await bounded(
      contestant,
      until(() => call.aborted || call.finished),
    );
  }
  return found;
}

/** Sends an unknown key: returns the status, and the number of bytes that reached the gateway. */
async function withWrongKey(contestant) {
  contestant.tap.reset();
  const { status } = await send(
    { ...contestant, key: "sk-no-key-of-anybody" },
    turnOf(ANSWER, false),
  );
  return { status, bytes: contestant.tap.bytes };
}

const turnOf = (message, stream) =>
  JSON.stringify({ model: AGENT, stream, messages: [{ role: "user", content: message }] });

const send = (contestant, body) => bounded(contestant, ask({ ...contestant, body }));

/** On a connection of its own, which no other request uses. */
function post({ url, key, headers }, body) {
  const request = http.request(`${url}/v1/chat/completions`, {
    agent: false,
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...headers,
    },
  });
  request.end(body);
  return request;
}

function complain({ label, log }, { status, tail, firstMs }, streamed) {
  const whole = streamed
    ? firstMs !== undefined && tail.trimEnd().endsWith("data: [DONE]")
    : tail.includes("w99");
  if (status !== 200 || !whole || tail.includes('"error"'))
    throw new Error(`${label}: HTTP ${status}, ${tail}\n${log.slice(-25).join("\n")}`);
}

const FIRST_DELTA = /"content": ?"w/;

async function until(check) {
  for (const startedMs = performance.now(); !check(); ) {
    if (performance.now() - startedMs > LONGEST_MS)
      throw new Error(`waited ${LONGEST_MS / 1_000} s in vain`);
    await sleep(POLL_MS);
  }
}

async function bounded({ label }, promise) {
  const over = new AbortController();
  const late = sleep(REQUEST_LIMIT_MS, undefined, { signal: over.signal, ref: false }).then(() => {
    throw new Error(`${label} took more than ${REQUEST_LIMIT_MS / 1_000} s`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
  }
}
