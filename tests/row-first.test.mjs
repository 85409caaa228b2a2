// Tests that the row of a run is on the disk before the gateway gets the request for the run: the
// runtime is killed in the moment in which the request leaves it. A retry then joins the run, also
// without an `Idempotency-Key`, and starts no second one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { temporaryFolder } from "./support/folder.mjs";
import { post, says, startFront, until } from "./support/front.mjs";
import { rowsOf } from "./support/storage.mjs";
import { startWiretap } from "./support/wiretap.mjs";

/** Kills on each protocol. */
const ROUNDS = 10;

const attempt = (number) => ({ "x-stainless-retry-count": String(number) });
const request = says("hi [[fake deltas=3 delay=20]]", { stream: true });

async function killed(protocol) {
  const storage = temporaryFolder("hub");
  let worker;
  let isArmed = false;
  const front = await startFront({ protocol, storage });
  const tap = await startWiretap(new URL(front.sim.url).port, (frame) => {
    if (!isArmed || !frame.includes('"method":"agent"')) return;
    isArmed = false;
    process.kill(worker.pid, "SIGKILL");
  });
  const vars = { GATEWAY_URL: tap.url };
  try {
    await front.worker.stop();
    for (let round = 0; round < ROUNDS; round++) {
      const ask = async (number) => {
        const response = await post(worker, front.phone, request, { headers: attempt(number) });
        return response.text();
      };
      worker = await front.another(vars);
      // The connection is there, so that the request leaves at once.
      await (await post(worker, front.phone, says("warm [[fake deltas=1]]"))).text();
      const before = Object.keys(rowsOf(storage, "run:")).length;
      isArmed = true;
      assert.equal(await ask(0).catch(() => "cut"), "cut");
      await worker.stop();
      assert.equal(Object.keys(rowsOf(storage, "run:")).length, before + 1, "the row is there");
      const runs = async () => (await front.sim.journal()).runs.length;
      const started = await until("the gateway has the request", runs);
      worker = await front.another(vars);
      assert.match(await ask(1), /w0 w1 w2|"finish_reason":"stop"/);
      assert.equal(await runs(), started, "the retry starts none");
      await worker.stop();
      await front.sim.reset();
    }
  } finally {
    await worker?.stop();
    tap.stop();
    await front.stop();
  }
}

describe("a runtime that is killed as it asks for a run", { concurrency: true }, () => {
  for (const protocol of [4, 3])
    test(`has the run's row on the disk, protocol ${protocol}`, () => killed(protocol));
});
