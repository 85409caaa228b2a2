// Tests that the row of a run is on the disk before the gateway gets the request for the run: the
// runtime is killed in the moment in which the request leaves it. A retry then joins the run, also
// without an `Idempotency-Key`, or is refused with the client's tools, and starts no second one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { temporaryFolder } from "./support/folder.mjs";
import { newKey, post, says, startFront, until } from "./support/front.mjs";
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

describe("a runtime that is killed as it asks for a run", { concurrency: true }, () => {
  for (const [name, way] of Object.entries(WAYS))
    test(`has the run's row on the disk, ${name}`, () => killed(way));
});
