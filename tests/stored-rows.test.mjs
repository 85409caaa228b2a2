// Tests the rows of stored responses: an answer of any size has all of its events, and nothing of a
// key that was deleted stays or is written later.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { serialize } from "node:v8";
import { admin, createKey, startAdminFront } from "./support/admin.mjs";
import { temporaryFolder } from "./support/folder.mjs";
import { until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { withKillable } from "./support/killable.mjs";
import { rowsOf } from "./support/storage.mjs";
import { bytesOf, isWhole, readEvents, responsesOf } from "./support/stored.mjs";

/** Most bytes of a row. Source: Cloudflare's documentation, "Limits" of Durable Objects. */
const MAX_ROW_BYTES = 2_000_000;

/** A run whose key is deleted is given up within this time, if the gateway is away. */
const LEAVE_MS = 13_000;

/** A run without a client is stopped within this time. */
const LEFT_MS = 75_000;

/** Returns the names of the rows of stored responses. */
const stored = (storage) =>
  ["rsp:", "rgo:", "rtx:"].flatMap((prefix) => Object.keys(rowsOf(storage, prefix)));

/** Runs a test with a key that the hub has made, `lost`. */
const withLost = (protocol, body) => async () => {
  const storage = temporaryFolder("hub");
  const front = await startAdminFront({ protocol, storage });
  try {
    const runs = async () => (await front.sim.journal()).runs;
    const key = await createKey(front, "lost");
    const deleteKey = async () => {
      const { status } = await admin(front.worker.edge, front.ops, "DELETE", "/keys/lost");
      assert.equal(status, 200);
    };
    /** Has the gateway lost, and not found again. */
    const loseGateway = async () => {
      await front.sim.fault("status-503", null);
      await front.sim.drop();
    };
    await body({ ...front, storage, runs, key, deleteKey, loseGateway });
  } finally {
    await front.stop();
  }
};

describe("rows of stored responses", { concurrency: 4 }, () => {
  for (const count of [2, 8])
    test(`an answer of ${count} times 400 kB has all of its events, and no row is too large`, async () => {
      const storage = temporaryFolder("hub");
      await withKillable({ storage }, async ({ worker, phone, kill }) => {
        const api = responsesOf(worker, phone);
        const stream = await api.stream(`hi [[fake bulk=${count} delay=100]]`, {
          background: true,
        });
        const all = await readEvents(stream);
        const { id } = all.at(-1).data.response;
        isWhole(all);
        assert.deepEqual(bytesOf(await readEvents(await api.replay(id))), bytesOf(all));
        for (const text of Object.values(rowsOf(storage, "rtx:")))
          assert.ok(serialize(text).length < MAX_ROW_BYTES);
        const again = responsesOf(await kill(worker), phone);
        assert.deepEqual(bytesOf(await readEvents(await again.replay(id))), bytesOf(all));
      })();
    });

  for (const protocol of [4, 3]) {
    const named = (name) => `${name}, protocol ${protocol}`;

    test(
      named("a key that is deleted while its runs go on leaves no rows"),
      withLost(protocol, async ({ worker, sim, storage, runs, key, deleteKey, loseGateway }) => {
        const api = responsesOf(worker, key);
        const asked = [
          ["", { store: true }],
          ["", { store: true, stream: true }],
          ["slowaccept=60000", { background: true }],
          ["slowaccept=60000", { background: true, stream: true }],
          ["", { background: true }],
          ["", { background: true, stream: true }],
        ].map(([words, fields]) =>
          api
            .send("POST", "", {
              body: {
                model: "openclaw",
                input: `hi [[fake deltas=4 stall=2 ${words}]]`,
                ...fields,
              },
            })
            .then((response) => response.text()),
        );
        await until("all have begun", async () => (await runs()).length === asked.length);
        await until(
          "two are stored",
          () => stored(storage).filter((name) => name.startsWith("rgo:")).length === 2,
        );
        await loseGateway();
        await setTimeout(500);
        await deleteKey();
        assert.deepEqual(stored(storage), []);
        await setTimeout(LEAVE_MS);
        await sim.fault(null);
        await setTimeout(2_000);
        await sim.resume();
        await Promise.all(asked);
        await setTimeout(2_000);
        assert.deepEqual(stored(storage), []);
      }),
    );
  }

  test(
    "the run in the background of a key that is deleted is stopped by the next hub",
    withLost(4, async (front) => {
      const { worker, sim, storage, runs, key, deleteKey, loseGateway } = front;
      await responsesOf(worker, key).begin("hi [[fake deltas=4 stall=2]]");
      await loseGateway();
      await setTimeout(500);
      await deleteKey();
      process.kill(worker.pid, "SIGKILL");
      await sim.fault(null);
      const other = await front.another();
      try {
        assert.equal((await get(other, front.phone, "/v1/key")).status, 200);
        await until("it is stopped", async () => (await runs())[0].ended === "aborted", LEFT_MS);
        assert.deepEqual(stored(storage), []);
      } finally {
        await other.stop();
      }
    }),
  );
});
