// Tests what is left of the hub when its object is gone without notice, as after a kill of the
// runtime, a deploy or a move: no run goes on without its client, unless its key wants that.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { temporaryFolder } from "./support/folder.mjs";
import { lines, newKey, post, says, startFront, until } from "./support/front.mjs";

/** A new object looks after 30 s, and stops after 60; a busy machine takes its time. */
const STOPPED_MS = 100_000;

const ask = (worker, key, content, headers = {}) =>
  post(worker, key, says(content, { stream: true }), { headers });

test("a hub that is gone, and that no request wakes: its run is stopped", async () => {
  const front = await startFront({ storage: temporaryFolder("hub") });
  const runs = async () => (await front.sim.journal()).runs.map(({ ended }) => ended);
  let again;
  try {
    const response = await ask(front.worker, front.phone, "left [[fake stall=1]]");
    process.kill(front.worker.pid, "SIGKILL");
    await response.text().catch(() => {});
    again = await front.another();
    assert.deepEqual(await runs(), ["running"]);
    // Each look is that of a new object, because nothing keeps it in memory.
    await until("it is stopped", async () => (await runs())[0] === "aborted", STOPPED_MS);
  } finally {
    await again?.stop();
    await front.stop();
  }
});

describe("a hub that is gone in the middle of its runs", () => {
  const storage = temporaryFolder("hub");
  let front, again;
  before(async () => {
    const finisher = newKey("finisher", "main", "--on-disconnect", "finish");
    front = await startFront({ storage, entries: [finisher.entry] });
    front.finisher = finisher;
  });
  after(async () => {
    await again?.stop();
    await front.stop();
  });

  test("stops those whose clients do not come back, and keeps those that they ask for again", async () => {
    const named = { "idempotency-key": "order-1" };
    const joined = "joined [[fake deltas=1600 delay=50]]";
    const first = [
      await ask(front.worker, front.phone, "left [[fake stall=1]]"),
      await ask(front.worker, front.finisher, "finishes [[fake stall=1]]"),
      await ask(front.worker, front.phone, joined, named),
    ];
    assert.deepEqual(
      first.map(({ status }) => status),
      [200, 200, 200],
    );
    const runs = async () => (await front.sim.journal()).runs.map(({ ended }) => ended);
    await until("all have begun", async () => (await runs()).length === 3);
    process.kill(front.worker.pid, "SIGKILL");
    await Promise.allSettled(first.map((response) => response.text()));

    again = await front.another();
    const second = await ask(again, front.phone, joined, named);
    assert.equal(second.status, 200);
    await until("the one is stopped", async () => (await runs())[0] === "aborted", STOPPED_MS);
    assert.deepEqual(await runs(), ["aborted", "running", "running"]);
    const stopped = () => lines(again).filter(({ end, run }) => end === "hub_lost" && run).length;
    // It is logged when the gateway has answered, which is after it has stopped the run.
    await until("its line is written", async () => stopped() > 0);
    const text = await second.text();
    assert.equal(stopped(), 1);
    assert.match(text, /"finish_reason":"stop"/);
    assert.match(text, /data: \[DONE\]\n\n$/);
    assert.equal((await runs()).length, 3, "no run was started twice");
  });
});
