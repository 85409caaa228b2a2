// Holds a thousand streams open and measures the memory of each and the latency of one more. Each
// stream must be complete and have its own text only.

import { withContestants } from "./contestants.mjs";
import { stream, wordsOf } from "./load.mjs";
import { residentBytes } from "./process.mjs";
import { atMost, median, percentile, round } from "./statistics.mjs";

export const name = "concurrency";

/**
 * One key gets 128 of a hub's 256 places, so eight hubs have room for a thousand streams
 * and the probes.
 */
const RUNTIMES = 8;
const STREAMS_EACH = 125;
const WARM_UP_EACH = 50;
/** How long the streams stay open, which must be longer than it takes to open all. */
const DELTAS = 40;
const DELAY_MS = 500;
const PROBES = 60;
const SAMPLE_MS = 200;
const KIB = 1_024;

export async function measure({ quick, say, ...context }) {
  const names = Array.from({ length: RUNTIMES }, (_, index) => `ours ${index + 1}`);
  const builds = Object.fromEntries(names.map((name) => [name, context.builds.ours]));
  const each = quick ? 10 : STREAMS_EACH;
  const delayMs = quick ? 50 : DELAY_MS;
  return withContestants(names, { ...context, builds, tasks: false }, async ({ workers }) => {
    const all = names.map((name) => workers[name]);
    for (const worker of all)
      for (let nth = 0; nth < (quick ? 2 : WARM_UP_EACH); nth += 1)
        await stream(worker, "hi [[fake deltas=10 delay=0]]");
    const atRest = all.map(({ pid }) => residentBytes(pid));
    const most = [...atRest];
    const sampler = setInterval(() => {
      for (const [index, { pid }] of all.entries())
        most[index] = Math.max(most[index], residentBytes(pid));
    }, SAMPLE_MS);

    const texts = Array.from({ length: each * RUNTIMES }, (_, index) => textOf(index));
    const firstMs = [];
    const probes = [];
    let answers;
    let openNow = 0;
    let openMost = 0;
    let speaking = 0;
    try {
      const open = texts.map(async (text, index) => {
        const answer = await stream(
          all[index % RUNTIMES],
          `hi [[fake text=${Buffer.from(text).toString("base64url")} delay=${delayMs}]]`,
          {
            keep: true,
            onFirst: () => {
              speaking += 1;
              openNow += 1;
              openMost = Math.max(openMost, openNow);
            },
          },
        );
        openNow -= 1;
        firstMs.push(answer.firstMs);
        return wordsOf(answer.text);
      });
      const ended = Promise.all(open).then((words) => (answers = words));
      await until(() => answers || speaking >= texts.length);
      say(`  ${openMost} streams are open`);
      // At least one, so that there is a figure. If all streams have ended already, the number of
      // open streams shows it.
      for (let nth = 0; nth === 0 || (nth < (quick ? 4 : PROBES) && !answers); nth += 1) {
        probes.push((await stream(all[nth % RUNTIMES], "hi [[fake deltas=2 delay=0]]")).firstMs);
      }
      await ended;
    } finally {
      clearInterval(sampler);
    }
    const wrong = answers.filter((words, index) => words !== texts[index]).length;
    const kib = most.map((bytes, index) => (bytes - atRest[index]) / each / KIB);
    const figure = (label, value, unit, more = {}) => ({
      label,
      value: round(value),
      unit,
      ...more,
    });
    return {
      title: `${texts.length} open streams`,
      rows: [
        figure("open at the same time", openMost, "", {
          target: { atLeast: texts.length, met: openMost >= texts.length },
        }),
        figure("incomplete, or with another's words", wrong, "", { target: atMost(0, wrong) }),
        figure("memory at rest, each runtime", median(atRest) / KIB / KIB, "MiB"),
        figure("memory per open stream", median(kib), "KiB", {
          spread: [Math.min(...kib), Math.max(...kib)].map(round),
        }),
        figure("time to first token, all opened at once, p50", percentile(firstMs, 0.5), "ms"),
        figure("time to first token, all opened at once, p99", percentile(firstMs, 0.99), "ms"),
        figure("time to first token of a further one, p50", percentile(probes, 0.5), "ms"),
        figure("time to first token of a further one, p99", percentile(probes, 0.99), "ms"),
      ],
      notes: [
        `${RUNTIMES} runtimes with ${each} streams each, as one key gets 128 places of a hub. Memory is workerd's resident size at its most, beyond what it had at rest, so garbage not yet collected and the buffers of its sockets are in it.`,
        "The gateway of protocol 4 tells each connection that may read of every run's task, once a second: with a thousand runs a million events a second, which no gateway gets out. This one is told not to.",
        `The streams of a runtime share one connection to the gateway. A further one is opened beside the others, each of which gets a delta every ${delayMs} ms.`,
      ],
    };
  });
}

/** Returns words that name their stream, in pieces of seven characters. */
const textOf = (index) =>
  Array.from({ length: DELTAS }, () => `w${String(index).padStart(5, "0")} `)
    .join("")
    .trimEnd();

async function until(probe) {
  while (!(await probe())) await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
}
