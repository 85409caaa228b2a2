// Measures the way from the edge to the one hub: a request that goes on to it beside one that the
// edge answers, and the code that each runs for a stream. The edge is in another isolate than the
// hub, as it is when they are deployed.

import { withContestants } from "./contestants.mjs";
import { ask, stream } from "./load.mjs";
import { profiled } from "./profiler.mjs";
import { median, percentile, round, row } from "./statistics.mjs";

export const name = "hop";

const REQUESTS = 1_000;
const WARM_UP = 200;
/** Enough that the pauses between answers are longer than a sample can be. */
const DELTAS = 1_000;
const QUICK_DELTAS = 200;
const ANSWERS = 20;
/** The runtime's names for them. */
const ISOLATES = { edge: "edge", main: "hub" };
const US_PER_MS = 1_000;

/** `edge` answers the first alone, and has the hub answer the second. */
const PATHS = { "answered at the edge": "/healthz", "answered by the hub": "/v1/key" };

export async function measure({ rounds, quick, say, ...context }) {
  const requests = quick ? 20 : REQUESTS;
  return withContestants(
    ["ours"],
    { ...context, inspected: true },
    async ({ workers: { ours } }) => {
      const there = { ...ours, url: ours.edge.url };
      const ms = Object.fromEntries(Object.keys(PATHS).map((label) => [label, []]));
      // In turn, so that a disturbance of the machine affects both.
      for (let nth = quick ? 0 : -WARM_UP; nth < requests; nth += 1) {
        for (const [label, path] of Object.entries(PATHS)) {
          const startedMs = performance.now();
          const { status } = await ask({ url: there.url, key: ours.key, path, method: "GET" });
          if (status !== 200) throw new Error(`${path}: HTTP ${status}`);
          if (nth >= 0) ms[label].push(performance.now() - startedMs);
        }
      }
      const [alone, both] = Object.values(ms);
      const hop = both.map((value, nth) => value - alone[nth]);
      const rows = Object.entries({ ...ms, "the hop, and the hub's own work": hop }).flatMap(
        ([label, values]) =>
          [0.5, 0.99].map((share) => ({
            label: `a request ${label}, p${share * 100}`.replace("a request the hop", "the hop"),
            value: round((share === 0.5 ? median(values) : percentile(values, share)) * US_PER_MS),
            unit: "µs",
          })),
      );

      const deltas = quick ? QUICK_DELTAS : DELTAS;
      const says = () => stream(there, `hi [[fake deltas=${deltas} delay=0]]`);
      for (let nth = 0; nth < (quick ? 2 : ANSWERS); nth += 1) await says();
      const figures = Object.keys(ISOLATES).map((isolate) => ({ isolate, us: [] }));
      for (let nth = 1; nth <= rounds; nth += 1) {
        say(`  round ${nth} of ${rounds}`);
        for (const { isolate, us } of figures) {
          const taken = await profiled(ours, isolate, async () => {
            for (let answer = 0; answer < ANSWERS; answer += 1) await says();
          });
          us.push((taken.WebAssembly + taken.JavaScript) / ANSWERS);
        }
      }
      for (const { isolate, us } of figures)
        rows.push(row(`code of the ${ISOLATES[isolate]} for an answer of 1,000 deltas`, us, "µs"));
      return {
        title: "From the edge to the hub",
        rows,
        notes: [
          "`GET /healthz` and `GET /v1/key`, in turn, over kept connections, with Node's client in both. The code is JavaScript and WebAssembly, sampled every 100 µs, of one stream on protocol 4. The edge hands the stream on, and looks at none of it.",
        ],
      };
    },
  );
}
