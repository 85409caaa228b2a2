// Where a streamed delta's time goes on the isolate's thread, by V8's own sampling profiler: ours
// and the floor.

import { withContestants } from "./contestants.mjs";
import { stream } from "./load.mjs";
import { ratioRow, row } from "./statistics.mjs";

export const name = "profile";

const CONTESTANTS = { ours: "Clawfront", floor: "floor" };
const WARM_UP = 20;
const ANSWERS = 5;
const DELTAS = 1_000;
const SAMPLING_US = 100;
/**
 * A longer pause between two samples is not our work: the machine was busy with something else, or
 * idle.
 */
const STALL_US = 3_000;
/** Of one round. */
const ATTEMPTS = 20;

/**
 * The parts, and V8's names for their frames. The rest of the Worker is JavaScript: that of
 * wasm-bindgen, and ours.
 */
const PARTS = {
  "the runtime's own code": ({ functionName }) => functionName === "(program)",
  "garbage collection": ({ functionName }) => functionName === "(garbage collector)",
  WebAssembly: ({ url }) => url.startsWith("wasm://"),
  JavaScript: ({ functionName }) => functionName !== "(idle)",
};

export async function measure(context) {
  const { rounds, quick, say } = context;
  const figures = Object.fromEntries(
    Object.keys(CONTESTANTS).map((name) => [
      name,
      Object.fromEntries(Object.keys(PARTS).map((part) => [part, []])),
    ]),
  );
  // Fewer than 200 can end between two samples.
  const deltas = quick ? 200 : DELTAS;
  await withContestants(
    Object.keys(CONTESTANTS),
    { ...context, apart: true, inspected: true },
    async ({ workers, sims }) => {
      const says = (worker, count) => stream(worker, `hi [[fake deltas=${count} delay=0]]`);
      for (const name of Object.keys(CONTESTANTS))
        for (let nth = 0; nth < (quick ? 2 : WARM_UP); nth += 1) await says(workers[name], deltas);
      for (let nth = 1; nth <= rounds; nth += 1) {
        say(`  round ${nth} of ${rounds}`);
        for (const name of Object.keys(CONTESTANTS)) {
          const us = await profiledForSure(workers[name].inspector, async () => {
            for (let answer = 0; answer < ANSWERS; answer += 1) await says(workers[name], deltas);
          });
          for (const part of Object.keys(PARTS))
            figures[name][part].push(us[part] / ANSWERS / deltas);
        }
        for (const sim of sims) await sim.reset();
      }
    },
  );
  const rows = Object.entries(CONTESTANTS).flatMap(([name, label]) =>
    Object.keys(PARTS).map((part) => row(`${label}: ${part}`, figures[name][part], "µs")),
  );
  const sums = (name) =>
    figures[name].WebAssembly.map((_, nth) =>
      Object.keys(PARTS).reduce((sum, part) => sum + figures[name][part][nth], 0),
    );
  return {
    title: "Where a streamed delta's time goes",
    rows: [...rows, ratioRow("all of it, Clawfront / floor", sums("ours"), sums("floor"))],
    notes: [
      `Bursts of ${deltas} deltas, one stream, protocol 4; time on the isolate's thread, sampled every ${SAMPLING_US} µs, which itself takes some. Not in it: waiting, and what workerd does outside of V8 (sockets, WebSocket frames, HTTP).`,
    ],
  };
}

/**
 * The same as `profiled`, of a time in which the machine let the thread work: under a heavy load
 * all samples can be too far apart.
 */
async function profiledForSure(port, work) {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const us = await profiled(port, work);
    if (Object.values(us).some((value) => value > 0)) return us;
  }
  throw new Error("this machine has too much else to do: the profiler saw nothing of the work");
}

/** Returns the time that `work` takes in each part, in microseconds. */
async function profiled(port, work) {
  const [{ webSocketDebuggerUrl }] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const devTools = await openDevTools(webSocketDebuggerUrl);
  try {
    await devTools.call("Profiler.enable");
    await devTools.call("Profiler.setSamplingInterval", { interval: SAMPLING_US });
    await devTools.call("Profiler.start");
    await work();
    const { profile } = await devTools.call("Profiler.stop");
    return timesOf(profile);
  } finally {
    devTools.close();
  }
}

function timesOf({ nodes, samples, timeDeltas }) {
  const partOf = new Map(
    nodes.map(({ id, callFrame }) => [
      id,
      Object.keys(PARTS).find((part) => PARTS[part](callFrame)),
    ]),
  );
  const us = Object.fromEntries(Object.keys(PARTS).map((part) => [part, 0]));
  for (const [index, id] of samples.entries()) {
    const part = partOf.get(id);
    if (part && timeDeltas[index] <= STALL_US) us[part] += timeDeltas[index];
  }
  return us;
}

/** The DevTools protocol: a request, and the answer that has its number. */
async function openDevTools(url) {
  const socket = new WebSocket(url);
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const call = waiting.get(id);
    if (!call) return;
    waiting.delete(id);
    if (error) call.reject(new Error(error.message));
    else call.resolve(result);
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("the runtime's inspector does not answer"));
  });
  socket.onclose = () => {
    for (const { reject } of waiting.values()) reject(new Error("the runtime's inspector is gone"));
  };
  let last = 0;
  return {
    call: (method, params = {}) =>
      new Promise((resolve, reject) => {
        last += 1;
        waiting.set(last, { resolve, reject });
        socket.send(JSON.stringify({ id: last, method, params }));
      }),
    close: () => socket.close(),
  };
}
