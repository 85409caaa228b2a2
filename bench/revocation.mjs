// Takes a key back while it has a hundred streams, through two edges, and measures when its
// requests are refused and when its streams end. The streams of another key must not notice.

import { admin, createKey, KEYS_SECRET, ops } from "../tests/support/admin.mjs";
import { withContestants } from "./contestants.mjs";
import { ask, turn } from "./load.mjs";
import { atMost, percentile, round } from "./statistics.mjs";

export const name = "revocation";

/** Streams of the key, and of the one that stays. */
const STREAMS = 100;
const OTHERS = 20;
/** Requests after the revocation was confirmed, half of them through the other edge. */
const AFTER = 20;
/** Longer than a round takes. */
const LONG = turn("hi [[fake deltas=3000 delay=50]]");
const SHORT = turn("hi [[fake deltas=1 delay=0]]");
const GOAL_MS = 1_000;
/** The round's key is revoked once all of its streams have had their first words. */
const SPEAKING_LIMIT_MS = 60_000;

export async function measure({ rounds, quick, say, ...context }) {
  const [streams, others] = quick ? [10, 2] : [STREAMS, OTHERS];
  const options = {
    ...context,
    entries: [ops.entry],
    vars: { KEYS_SECRET },
  };
  return withContestants(["ours"], options, async ({ workers: { ours } }) => {
    const edges = [ours.url, ours.edge.url];
    const front = { worker: ours, ops };
    const confirmedMs = [];
    const refusedMs = [];
    const endedMs = [];
    let admitted = 0;
    let wrong = 0;
    for (let nth = 1; nth <= rounds; nth += 1) {
      const [lost, kept] = [
        await createKey(front, `lost-${nth}`),
        await createKey(front, `kept-${nth}`),
      ];
      let speaking = 0;
      let told = 0;
      const open = (key, index) =>
        ask({
          url: edges[index % edges.length],
          key: key.key,
          body: LONG,
          onFirst: () => (speaking += 1),
        }).then((answer) => ({ ...answer, endedAt: performance.now() }));
      const ends = Array.from({ length: streams }, (_, index) => open(lost, index));
      const stay = Array.from({ length: others }, (_, index) =>
        open(kept, index).then((answer) => {
          told += 1;
          return answer;
        }),
      );
      await until(() => speaking === streams + others);

      const revokedAt = performance.now();
      const one = ({ key }, index) =>
        ask({ url: edges[index % edges.length], key, body: SHORT }).then(({ status }) => status);
      const refused = (async () => {
        for (let index = 0; !isRefused(await one(lost, index)); index += 1);
        return performance.now() - revokedAt;
      })();
      const { status } = await admin(ours, ops, "DELETE", `/keys/lost-${nth}`);
      if (status !== 200) throw new Error(`the key was not revoked: HTTP ${status}`);
      confirmedMs.push(performance.now() - revokedAt);
      const after = await Promise.all(
        Array.from({ length: AFTER }, (_, index) => one(lost, index)),
      );
      admitted += after.filter((status) => !isRefused(status)).length;
      refusedMs.push(await refused);
      for (const { tail, endedAt } of await Promise.all(ends)) {
        endedMs.push(endedAt - revokedAt);
        if (!isRevoked(tail)) wrong += 1;
      }
      wrong += told;
      await admin(ours, ops, "DELETE", `/keys/kept-${nth}`);
      await Promise.all(stay);
      say(`  round ${nth} of ${rounds}`);
    }
    const at = (label, values, share, more) => ({
      label: `${label}, p${share * 100}`,
      value: round(percentile(values, share)),
      unit: "ms",
      ...more,
    });
    const last = percentile(endedMs, 0.99);
    return {
      title: `A key with ${streams} streams is revoked`,
      rows: [
        at("until the revocation is confirmed", confirmedMs, 0.5),
        at("until a request is refused", refusedMs, 0.5),
        at("until a stream has ended", endedMs, 0.5),
        at("until a stream has ended", endedMs, 0.99, { target: atMost(GOAL_MS, last) }),
        {
          label: "requests admitted after the confirmation",
          value: admitted,
          unit: "",
          target: atMost(0, admitted),
        },
        {
          label: "streams that ended otherwise, or of the other key",
          value: wrong,
          unit: "",
          target: atMost(0, wrong),
        },
      ],
      notes: [
        `${rounds} rounds. The times are from the sending of \`DELETE /admin/v1/keys/…\`; the streams are of two edges, with a delta every 50 ms each, beside ${others} of another key. Requests of the key are sent one after the other until one is refused, and ${AFTER} once the revocation is confirmed.`,
      ],
    };
  });
}

/** An address with many bad keys gets 429 for them. */
const isRefused = (status) => status === 401 || status === 429;

/** The end of a stream whose key was revoked. */
const isRevoked = (tail) => tail.includes('"api_key_expired"') && tail.endsWith("data: [DONE]\n\n");

async function until(probe) {
  const limit = performance.now() + SPEAKING_LIMIT_MS;
  while (!probe()) {
    if (performance.now() > limit) throw new Error("not every stream has begun");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
