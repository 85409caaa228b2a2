// Tests that the gateway gets the request for a run once the row of the run is stored. The request
// waits for a storage that is held back. The runtime is killed in the moment in which the request
// leaves it: the row is on the disk, and a retry joins the run, also without an `Idempotency-Key`,
// or is refused with the client's tools, and starts no second one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HOLD, makeEvictable } from "./support/evictable.mjs";
import { temporaryFolder } from "./support/folder.mjs";
import { newKey, post, says, startFront, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { rowsOf } from "./support/storage.mjs";
import { startWiretap } from "./support/wiretap.mjs";

/** Kills on each protocol. */
const ROUNDS = 10;

const attempt = (number) => ({ "x-stainless-retry-count": String(number) });
const words = "hi [[fake deltas=3 delay=20]]";
const tools = newKey("tools", "main", "--tools", "run");

/** The ways in which a run is asked for. `leaves` says whether a frame, or a request, does that. */
const WAYS = {
  "protocol 4": { protocol: 4 },
  "protocol 3": { protocol: 3 },
  "the HTTP endpoint": {
    protocol: 4,
    simArgs: ["--chat-completions", "trusted-proxy"],
    settings: { GATEWAY_HTTP: "trusted-proxy" },
    keyOf: () => tools,
    fields: { tools: [{ type: "function", function: { name: "f", parameters: {} } }] },
    leaves: (request) => request.startsWith("POST "),
    runsOf: ({ completions }) => completions,
    again: /"code":"run_in_progress"/,
  },
};
const ON_A_SOCKET = {
  keyOf: ({ phone }) => phone,
  leaves: (frame) => frame.includes('"method":"agent"'),
  runsOf: ({ runs }) => runs,
  again: /w0 w1 w2|"finish_reason":"stop"/,
};

async function killed(way) {
  const { protocol, simArgs, settings, keyOf, fields, leaves, runsOf, again } = {
    ...ON_A_SOCKET,
    ...way,
  };
  const storage = temporaryFolder("hub");
  let worker;
  let isArmed = false;
  const front = await startFront({ protocol, simArgs, storage, entries: [tools.entry] });
  const key = keyOf(front);
  const tap = await startWiretap(new URL(front.sim.url).port, (sent) => {
    if (!isArmed || !leaves(sent)) return;
    isArmed = false;
    process.kill(worker.pid, "SIGKILL");
  });
  const vars = { GATEWAY_URL: tap.url, ...settings };
  try {
    await front.worker.stop();
    for (let round = 0; round < ROUNDS; round++) {
      const ask = async (number) => {
        const request = says(words, { stream: true, ...fields });
        const response = await post(worker, key, request, { headers: attempt(number) });
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
      const runs = async () => runsOf(await front.sim.journal()).length;
      const started = await until("the gateway has the request", runs);
      worker = await front.another(vars);
      assert.match(await ask(1), again);
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

/** Time in which a request that does not wait has left. */
const LEFT_WITHIN_MS = 100;

async function held(way) {
  const { protocol, simArgs, settings, keyOf, fields, runsOf } = { ...ON_A_SOCKET, ...way };
  const { build, ...workerOptions } = makeEvictable(temporaryFolder("evictable"));
  const start = { protocol, simArgs, build, workerOptions };
  const front = await startFront({ ...start, vars: settings, entries: [tools.entry] });
  const hold = async (value) =>
    Number(await (await get(front.worker, front.phone, "/v1/key", { [HOLD]: value })).text());
  const runs = async () => runsOf(await front.sim.journal()).length;
  try {
    await (await post(front.worker, front.phone, says("warm [[fake deltas=1]]"))).text();
    const before = await runs();
    await hold("begin");
    const response = post(front.worker, keyOf(front), says(words, { stream: true, ...fields }));
    await until("the row waits", async () => (await hold("count")) > 0);
    await sleep(LEFT_WITHIN_MS);
    assert.equal(await runs(), before);
    await hold("end");
    assert.match(await (await response).text(), /w0 w1 w2|"finish_reason":"stop"/);
    assert.equal(await runs(), before + 1);
  } finally {
    await front.stop();
  }
}

for (const [title, check] of [
  ["a request for a run waits for the run's row", held],
  ["a runtime that is killed as it asks for a run has the run's row on the disk", killed],
])
  describe(title, { concurrency: true }, () => {
    for (const [name, way] of Object.entries(WAYS)) test(name, () => check(way));
  });
