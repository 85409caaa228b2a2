// CPU of workerd for a whole request: authentication, the run, the answer, and the gateway's
// handshake with its device proof where a connection is made for each request.

import { withContestants } from "./contestants.mjs";
import { stream } from "./load.mjs";
import { costOf } from "./process.mjs";
import { atMost, median, row } from "./statistics.mjs";

export const name = "short";

const CONTESTANTS = ["ours", "js", "idiomatic", "floor"];
const LABELS = {
  ours: "Clawfront",
  js: "JavaScript",
  idiomatic: "idiomatic workers-rs",
  floor: "floor",
};

const WARM_UP = 300;
const REQUESTS = 50;
const LONG_REQUESTS = 5;
/** CPU time that the platform's free plan gives a request. */
const FREE_PLAN_MS = 10;
const COLD_STARTS = 5;
const US_PER_MS = 1_000;

const SHORT = "hi [[fake deltas=10 delay=0]]";
const LONG = "hi [[fake deltas=1000 delay=0]]";

export async function measure(context) {
  const { rounds, quick } = context;
  const figures = Object.fromEntries(CONTESTANTS.map((name) => [name, { short: [], long: [] }]));
  await withContestants(CONTESTANTS, context, async ({ sims: [sim], workers }) => {
    const each = async (worker, message, count) => {
      const { us } = await costOf([worker.pid], async () => {
        for (let nth = 0; nth < count; nth += 1) await stream(worker, message);
      });
      return us[0] / count / US_PER_MS;
    };
    for (const name of CONTESTANTS) await each(workers[name], SHORT, quick ? 3 : WARM_UP);
    for (let nth = 0; nth < rounds; nth += 1) {
      for (const name of CONTESTANTS) {
        figures[name].short.push(await each(workers[name], SHORT, quick ? 3 : REQUESTS));
        figures[name].long.push(
          await each(workers[name], quick ? SHORT : LONG, quick ? 1 : LONG_REQUESTS),
        );
      }
      await sim.reset();
    }
  });
  const cold = await coldStarts(context, quick ? 1 : COLD_STARTS);

  const promised = (values) => ({ target: atMost(FREE_PLAN_MS, median(values)) });
  const rows = CONTESTANTS.flatMap((name) => [
    row(
      `10 deltas, warm: ${LABELS[name]}`,
      figures[name].short,
      "ms",
      name === "ours" ? promised(figures[name].short) : {},
    ),
    row(`1,000 deltas in a burst, warm: ${LABELS[name]}`, figures[name].long, "ms"),
  ]);
  rows.push(row("10 deltas, first request of a runtime: Clawfront", cold, "ms", promised(cold)));
  const bars = CONTESTANTS.map((name) => row(LABELS[name], figures[name].short, "ms"));
  return { title: "CPU of workerd per request", rows, notes: NOTES, plot: { unit: "ms", bars } };
}

/** Measures the cost of the first request in a runtime that has just started. */
async function coldStarts(context, count) {
  const costs = [];
  for (let nth = 0; nth < count; nth += 1) {
    await withContestants(["ours"], context, async ({ workers: { ours } }) => {
      const { us } = await costOf([ours.pid], () => stream(ours, SHORT));
      costs.push(us[0] / US_PER_MS);
    });
  }
  return costs;
}

const NOTES = [
  "All threads of workerd, so more than the isolate's own CPU time, which is what the platform counts: HTTP, WebSocket and the compiler's threads are in it.",
];
