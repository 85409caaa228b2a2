// Counts the rows that an answer writes, because the platform counts them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { makeEvictable, WRITES } from "./support/evictable.mjs";
import { temporaryFolder } from "./support/folder.mjs";
import { lines, newKey, post, says, startFront, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";

/** Answers, one after the other. */
const ANSWERS = 8;

/** An answer that is over before the usage is written for other requests, after five seconds. */
const SHORT = "hi [[fake deltas=3 delay=0]]";

/** A run's row before it is requested and at its end, each with its key's usage. */
const ROWS = 4;

/** One alarm is for all runs of this time. */
const ALARM_MS = 20_000;

for (const protocol of [4, 3]) {
  test(`a plain answer writes at most ${ROWS} rows, protocol ${protocol}`, async () => {
    const { build, ...workerOptions } = makeEvictable(temporaryFolder("evictable"));
    const other = newKey("other", "main");
    const front = await startFront({ protocol, build, workerOptions, entries: [other.entry] });
    const writes = async () =>
      (await get(front.worker, other, "/v1/key", { [WRITES]: "1" })).json();
    try {
      for (const stream of [true, false]) {
        const before = await writes();
        const startedMs = performance.now();
        const logged = lines(front.worker).length;
        for (let nth = 0; nth < ANSWERS; nth += 1) {
          const response = await post(front.worker, front.phone, says(SHORT, { stream }));
          assert.equal(response.status, 200);
          await response.text();
        }
        await until("all have ended", () => lines(front.worker).length === logged + ANSWERS);
        const { put, setAlarm } = await writes();
        const rows = put - (before.put ?? 0);
        assert.ok(rows > ANSWERS, "they are counted");
        assert.ok(rows <= ROWS * ANSWERS, `${rows} rows for ${ANSWERS} answers`);
        const alarms = setAlarm - (before.setAlarm ?? 0);
        const periods = Math.ceil((performance.now() - startedMs) / ALARM_MS);
        assert.ok(alarms <= periods, `${alarms} alarms in ${periods} times of one`);
      }
    } finally {
      await front.stop();
    }
  });
}
