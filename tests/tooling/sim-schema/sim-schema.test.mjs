// Every frame between a client and the simulated gateway, checked against the schema that OpenClaw
// publishes for its protocol.
//
// The simulated gateway was written from recordings; this is a second witness. CLAWFRONT_SIM names
// another binary than the usual one.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { startSim } from "../../support/sim.mjs";
import { Validator } from "./validator.mjs";

// The package does not export it; it lies beside the folder of its entry point.
const schema = JSON.parse(
  readFileSync(
    new URL("../protocol.schema.json", import.meta.resolve("@openclaw/gateway-protocol")),
  ),
);

let sim;

before(async () => {
  sim = await startSim({
    protocol: 4,
    args: ["--tick-ms", "200"],
    binary: process.env.CLAWFRONT_SIM,
  });
});

after(() => sim?.stop());

const RUNS = {
  ok: "[[fake deltas=6 delay=5]]",
  "without a directive": "Hello!",
  "a tool": "[[fake deltas=4 delay=5 tool=exec]]",
  reasoning: "[[fake deltas=4 delay=5 reasoning=6]]",
  "a refusal of the provider": "[[fake error=400]]",
  "a failure of the provider": "[[fake error=500 cut=2 retry=1]]",
  "a rate limit": "[[fake error=429]]",
  "a retry": "[[fake deltas=4 retry=2]]",
  "an error in the stream": "[[fake deltas=4 streamerror=2]]",
  "an answer cut by its length": "[[fake deltas=3 finish=length]]",
  "an empty answer": "[[fake empty=2]]",
  "an answer that takes too long": "[[fake deltas=2 timeoutrun=1]]",
  "a retraction": "[[fake deltas=4 retract=2]]",
  "a gateway that drains": "[[fake draining=1]]",
};

for (const [name, message] of Object.entries(RUNS)) {
  test(`${name}: every frame is in the schema`, async () => {
    const client = await connect(["tool-events", "session-scoped-events"]);
    const sessionKey = `agent:main:${crypto.randomUUID()}`;
    await client.call("sessions.messages.subscribe", { key: sessionKey, agentId: "main" });
    await client.run({ message, agentId: "main", sessionKey, idempotencyKey: crypto.randomUUID() });
    await client.done();
  });
}

test("an abort: every frame is in the schema", async () => {
  for (const abort of [
    ({ sessionKey, idempotencyKey }) => ["chat.abort", { sessionKey, runId: idempotencyKey }],
    ({ sessionKey, idempotencyKey }) => [
      "sessions.abort",
      { key: sessionKey, runId: idempotencyKey },
    ],
  ]) {
    const client = await connect([]);
    const run = {
      message: "[[fake stall=2]]",
      agentId: "main",
      sessionKey: `agent:main:${crypto.randomUUID()}`,
      idempotencyKey: crypto.randomUUID(),
    };
    const ended = client.run(run);
    await client.saw((frame) => frame.event === "chat");
    const answer = await client.call(...abort(run));
    assert.equal(answer.ok, true);
    assert.equal((await ended).payload.summary, "aborted");
    await client.call("agent.wait", { runId: run.idempotencyKey, timeoutMs: 0 });
    await client.done();
  }
});

test("the other methods: every frame is in the schema", async () => {
  const client = await connect([]);
  await client.call("agents.list", {});
  await client.call("tts.speak", { text: "Hello." });
  await client.call("tts.speak", { text: "[[speech no-provider]]" });
  await client.call("health", {});
  await client.call("agent.wait", { runId: "nope", timeoutMs: 0 });
  assert.equal(
    (await client.call("sessions.delete", { key: "agent:main:x" })).error.code,
    "FORBIDDEN",
  );
  await client.saw((frame) => frame.event === "tick");
  await client.done();
});

test("a refused connect: every frame is in the schema", async () => {
  const client = await open();
  await assert.rejects(client.hello({ auth: { token: "wrong" } }), /AUTH_TOKEN_MISMATCH/);
  await client.done();
});

test("a field that is not in the schema is noticed", async () => {
  const client = await connect([]);
  await client.run({
    message: "[[fake deltas=2 unknown=1]]",
    agentId: "main",
    sessionKey: "agent:main:noticed",
    idempotencyKey: crypto.randomUUID(),
  });
  await assert.rejects(client.done(), (error) => {
    for (const part of ["sim.unknown", "simSurplus"]) assert.match(error.message, new RegExp(part));
    return true;
  });
});

async function connect(caps) {
  const client = await open();
  await client.hello({ caps });
  return client;
}

/** Opens a connection whose frames are all checked, in both directions. */
async function open() {
  const validator = new Validator(schema);
  const socket = new WebSocket(sim.url);
  const closed = once(socket, "close");
  const frames = [];
  let watchers = [];
  socket.addEventListener("message", ({ data }) => {
    const frame = JSON.parse(data);
    validator.received(frame);
    frames.push(frame);
    watchers = watchers.filter((watch) => !watch(frame));
  });
  const saw = (wanted) =>
    new Promise((resolve) => {
      const before = frames.find(wanted);
      if (before) return resolve(before);
      watchers.push((frame) => {
        const isWanted = wanted(frame);
        if (isWanted) resolve(frame);
        return isWanted;
      });
    });
  const send = (method, params) => {
    const frame = { type: "req", id: crypto.randomUUID(), method, params };
    validator.sent(frame);
    socket.send(JSON.stringify(frame));
    return frame.id;
  };
  const call = async (method, params) => {
    const id = send(method, params);
    return saw((frame) => frame.id === id);
  };
  return {
    saw,
    call,
    async hello({ caps = [], auth = { token: sim.token } }) {
      await saw((frame) => frame.event === "connect.challenge");
      const answer = await call("connect", {
        minProtocol: 4,
        maxProtocol: 4,
        client: { id: "gateway-client", version: "0", platform: "test", mode: "backend" },
        role: "operator",
        scopes: ["operator.read", "operator.write"],
        caps,
        auth,
      });
      if (!answer.ok) throw new Error(answer.error.details.code);
    },
    /** The last response of a run. */
    async run(params) {
      const id = send("agent", params);
      return saw((frame) => frame.id === id && frame.payload?.status !== "accepted");
    },
    /** Closes, and throws the errors of any frame. */
    async done() {
      socket.close();
      await closed;
      if (validator.violations.length > 0) throw new Error(validator.violations.join("\n"));
    },
  };
}
