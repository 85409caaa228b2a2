// Measures the cost of a rejection, and checks that the gateway receives nothing of it.

import { newKey } from "../tests/support/front.mjs";
import { withContestants } from "./contestants.mjs";
import { ask, inParallel, turn } from "./load.mjs";
import { costOf } from "./process.mjs";
import { atMost, round, row } from "./statistics.mjs";

export const name = "rejections";

const REQUESTS = 1_000;
const WARM_UP = 300;
const WIDTH = 16;

export async function measure(context) {
  const { rounds, quick } = context;
  const limited = newKey("limited", "main", "--default", "main", "--rpm", "1");
  const count = quick ? 20 : REQUESTS;
  return withContestants(
    ["ours"],
    { ...context, entries: [limited.entry] },
    async ({ sims: [sim], workers: { ours: worker } }) => {
      const body = turn("hi [[fake deltas=1 delay=0]]");
      const kinds = [
        // Each from an address of its own: of many from one address, most are answered 429.
        {
          status: 401,
          of: (nth) => ({
            key: `claw_nobody_${"a".repeat(32)}`,
            body,
            headers: { "cf-connecting-ip": addressOf(nth) },
          }),
        },
        { status: 404, of: () => ({ key: worker.key, path: "/v1/embeddings", body }) },
        // The limit lets one request a minute pass. That one is refused for its content, so that it
        // does not reach a gateway either.
        { status: 429, of: () => ({ key: limited.key, body: "{}" }), passing: 1 },
      ];
      let sent = 0;
      const refuse = async ({ status, of, passing = 0 }, times) => {
        const answers = await inParallel(times, WIDTH, () =>
          ask({ url: worker.url, ...of(sent++) }),
        );
        const odd = answers.filter((answer) => answer.status !== status);
        if (odd.length > passing)
          throw new Error(`HTTP ${odd[0].status} in place of ${status}: ${odd[0].tail}`);
      };
      const figures = kinds.map(() => ({ us: [], perSecond: [] }));
      for (const kind of kinds) await refuse(kind, quick ? 5 : WARM_UP);
      for (let nth = 0; nth < rounds; nth += 1) {
        for (const [index, kind] of kinds.entries()) {
          const { us, seconds } = await costOf([worker.pid], () => refuse(kind, count));
          figures[index].us.push(us[0] / count);
          figures[index].perSecond.push(count / seconds);
        }
      }
      const { connections } = await sim.journal();
      return {
        title: "Rejections",
        rows: [
          ...kinds.flatMap(({ status }, index) => [
            row(`${status}: CPU`, figures[index].us, "µs"),
            row(`${status}: rate`, figures[index].perSecond, "/s"),
          ]),
          {
            label: "connections to the gateway",
            value: round(connections),
            unit: "",
            target: atMost(0, connections),
          },
        ],
        notes: [
          `${WIDTH} at a time over kept connections, from one client on the same cores: the rate is the client's as much as the Worker's.`,
        ],
        plot: {
          unit: "µs",
          bars: kinds.map(({ status }, index) => row(String(status), figures[index].us, "µs")),
        },
      };
    },
  );
}

const addressOf = (nth) => `10.${(nth >> 16) & 255}.${(nth >> 8) & 255}.${nth & 255}`;
