// CPU of workerd per streamed delta: ours, the floor, a Worker in JavaScript, and one by the book
// of workers-rs.

import { withContestants } from "./contestants.mjs";
import { inParallel, stream } from "./load.mjs";
import { costOf } from "./process.mjs";
import { atLeast, atMost, median, ratioRow, round, row } from "./statistics.mjs";

export const name = "cpu";

const CONTESTANTS = ["ours", "floor", "js", "idiomatic"];
const LABELS = {
  ours: "Clawfront",
  floor: "floor: receives, writes nothing",
  js: "JavaScript",
  idiomatic: "idiomatic workers-rs",
};

/** The gateway paces at 75 ms: 13 deltas a second. */
const PACED_MS = 75;
/**
 * The share of a request that is not its deltas is measured with this number of deltas, as many
 * streams at a time and the same pace, and subtracted: requests that come together cost less each.
 */
const FEW_DELTAS = 10;
/** At least as many answers in bursts for that, because one is too short to be measured. */
const FEW_ANSWERS = 30;

/**
 * One delta is two frames: an `agent` event, and a `chat` event, each with the whole text so far.
 * So a burst of 10 answers of 1,000 deltas is 20,000 frames. Where each stream has
 * a connection of its own, each also receives the events of the others: on protocol 3 all of them,
 * on protocol 4 their tasks, one event a second each.
 */
const LOADS = [
  { protocol: 4, streams: 1, answers: 10, deltas: 1_000, delayMs: 0 },
  { protocol: 4, streams: 50, answers: 50, deltas: 200, delayMs: 0 },
  { protocol: 4, streams: 1, answers: 1, deltas: 40, delayMs: PACED_MS },
  { protocol: 4, streams: 50, answers: 50, deltas: 40, delayMs: PACED_MS },
  { protocol: 3, streams: 1, answers: 10, deltas: 1_000, delayMs: 0 },
  { protocol: 3, streams: 50, answers: 150, deltas: 20, delayMs: 0 },
];
/** Enough requests that the runtime has compiled its hot code. */
const WARM_UP = 200;
const IDLE_MS = 1_000;

export async function measure(context) {
  const rows = [];
  let bars;
  for (const protocol of [4, 3]) {
    const measured = await withContestants(
      CONTESTANTS,
      { ...context, protocol, apart: true },
      (contest) =>
        rounds(
          context,
          contest,
          LOADS.filter((load) => load.protocol === protocol),
        ),
    );
    for (const { load, figures, sim } of measured) {
      rows.push(...rowsOf(load, figures, sim));
      bars ??= CONTESTANTS.map((name) => row(LABELS[name], figures[name], "µs"));
    }
  }
  return {
    title: "CPU of workerd per streamed delta",
    rows,
    notes: NOTES,
    plot: { unit: "µs", bars },
  };
}

async function rounds({ rounds, quick, say }, { sims, workers }, loads) {
  const measured = loads.map((load) => ({
    load: quick ? shortened(load) : load,
    figures: Object.fromEntries(CONTESTANTS.map((name) => [name, []])),
    sim: [],
  }));
  for (const name of CONTESTANTS)
    await inParallel(quick ? 5 : WARM_UP, 4, () => stream(workers[name], says(FEW_DELTAS, 0)));
  const idleUsPerSecond = {};
  for (const name of CONTESTANTS) {
    const { us, seconds } = await costOf(
      [workers[name].pid],
      () => new Promise((resolve) => setTimeout(resolve, quick ? 100 : IDLE_MS)),
    );
    idleUsPerSecond[name] = us[0] / seconds;
  }
  const costs = async (name, { answers, streams, deltas, delayMs }) => {
    const { us, seconds } = await costOf([workers[name].pid, workers[name].sim.pid], () =>
      inParallel(answers, streams, () => stream(workers[name], says(deltas, delayMs))),
    );
    return { worker: us[0] - idleUsPerSecond[name] * seconds, sim: us[1] };
  };
  for (let nth = 1; nth <= rounds; nth += 1) {
    for (const { load, figures, sim: simFigures } of measured) {
      say(`  protocol ${load.protocol}, ${titleOf(load)}, round ${nth} of ${rounds}`);
      const isPaced = load.delayMs > 0;
      const few = {
        ...load,
        answers: isPaced || quick ? load.answers : Math.max(load.answers, FEW_ANSWERS),
        deltas: FEW_DELTAS,
      };
      const one = async (name) => {
        const fewCost = await costs(name, few);
        const cost = await costs(name, load);
        const perDelta = (which) =>
          (cost[which] / load.answers - fewCost[which] / few.answers) / (load.deltas - FEW_DELTAS);
        figures[name].push(perDelta("worker"));
        if (name === "floor" && !isPaced) simFigures.push(perDelta("sim"));
      };
      // The order differs in each round. Measurements that mostly wait run together.
      const order = CONTESTANTS.map((_, index) => CONTESTANTS[(index + nth) % CONTESTANTS.length]);
      if (isPaced) await Promise.all(order.map(one));
      else for (const name of order) await one(name);
    }
    for (const sim of sims) await sim.reset();
  }
  return measured;
}

function rowsOf(load, figures, sim) {
  const of = `protocol ${load.protocol}, ${titleOf(load)}`;
  const promised = load.protocol === 4;
  return [
    ...CONTESTANTS.map((name) => row(`${of}: ${LABELS[name]}`, figures[name], "µs")),
    ratioRow(
      `${of}: Clawfront / floor`,
      figures.ours,
      figures.floor,
      promised && ((value) => atMost(1.25, value)),
    ),
    ratioRow(
      `${of}: Clawfront / JavaScript`,
      figures.ours,
      figures.js,
      promised && ((value) => atMost(1, value)),
    ),
    ratioRow(
      `${of}: idiomatic / Clawfront`,
      figures.idiomatic,
      figures.ours,
      promised && ((value) => atLeast(6, value)),
    ),
    // The floor is the cost of the runtime. The rest depends on how the Worker is written.
    ratioRow(
      `${of}: idiomatic / Clawfront, what each adds to the floor`,
      figures.idiomatic.map((us, index) => us - figures.floor[index]),
      figures.ours.map((us, index) => us - figures.floor[index]),
    ),
    // If it costs less than the cheapest of them, nothing waited for it.
    ...(sim.length > 0
      ? [
          row(`${of}: the simulated gateway beside the floor`, sim, "µs", {
            target: atMost(round(median(figures.ours)), median(sim)),
          }),
        ]
      : []),
  ];
}

const NOTES = [
  "A delta is two frames, an `agent` and a `chat` event with the whole text so far, as the gateway sends them. What a request costs besides its deltas is taken off, measured with ten deltas at the same pace and in as many streams, and what an idle workerd costs.",
  "A burst of 1,000 deltas is an answer of 4.9 kB, so that a frame has 2.7 kB on average. 50 streams of Clawfront share one connection. A figure below zero is smaller than the noise of its measurement. Ratios are of the same round.",
];

const says = (deltas, delayMs) => `hi [[fake deltas=${deltas} delay=${delayMs}]]`;
const titleOf = ({ streams, deltas, delayMs }) =>
  `${streams === 1 ? "1 stream" : `${streams} streams`}, ${delayMs === 0 ? "bursts" : "13/s"} of ${deltas}`;
const shortened = (load) => ({
  ...load,
  answers: Math.min(load.answers, 4),
  streams: Math.min(load.streams, 4),
  deltas: FEW_DELTAS + 10,
  delayMs: Math.min(load.delayMs, 10),
});
