// Where a streamed delta's time goes on the isolate's thread, by V8's own sampling profiler: ours
// and the floor.

import { withContestants } from "./contestants.mjs";
import { stream } from "./load.mjs";
import { PARTS, profiled, SAMPLING_US } from "./profiler.mjs";
import { ratioRow, row } from "./statistics.mjs";

export const name = "profile";

const CONTESTANTS = { ours: "Clawfront", floor: "floor" };
const WARM_UP = 20;
const ANSWERS = 5;
const DELTAS = 1_000;

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
          const us = await profiled(workers[name], "main", async () => {
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
