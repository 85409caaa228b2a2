// Every way in which the hub's object is lost, in every phase of a run, with streamed and whole
// answers, on both protocols. A retry never starts a second run: it gets the run's answer, or an
// error. Each run counts once, and no row of it stays.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { buildPanickingWorker } from "../scripts/build.mjs";
import { environment } from "../scripts/setup.mjs";
import { EVICT, makeEvictable } from "./support/evictable.mjs";
import { temporaryFolder } from "./support/folder.mjs";
import {
  beginnings,
  eventsOf,
  lines,
  newKey,
  post,
  says,
  startFront,
  textOf,
  until,
} from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { words } from "./support/prompts.mjs";
import { empty, fill, letPass, rowsOf } from "./support/storage.mjs";

/** Words in an answer. */
const WORDS = 4;

/** A time that only the test ends, by far. */
const FOREVER_MS = 60_000;

/** The phases, with the simulated gateway's directives. Runs wait until the test resumes them. */
const PHASES = {
  ended: "",
  asked: `slowaccept=${FOREVER_MS}`,
  accepted: "stall=0",
  text: "stall=2",
  queued: "",
};
const HELD = ["asked", "accepted", "text"];

/** Phases of a run with tools of the client, which the gateway's HTTP endpoint has (protocol 4). */
const AT_ENDPOINT = { "tools-ended": "", "tools-accepted": "stall=0", "tools-text": "stall=2" };
const AT_ENDPOINT_HELD = ["tools-accepted", "tools-text"];
const ALL_HELD = [...HELD, ...AT_ENDPOINT_HELD];
const ALL_ENDED = ["ended", "tools-ended"];
const isAtEndpoint = ({ phase }) => phase in AT_ENDPOINT;
const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];

/** The run of a client that does not come back. It goes on until it is stopped. */
const LEFT = `left [[fake deltas=2 delay=${FOREVER_MS}]]`;

/** After this time the alarm comes. */
const ALARM_MS = 31_000;

/** For longer than this nothing about a run is remembered, and no run is without its client. */
const AGE_MS = 300_000;

/** Only Linux limits the files of a process that runs. */
const FULL = {
  end: "hub_lost",
  skip: process.platform !== "linux" && "it needs prlimit",
  workerOptions: () => ({ limitable: true }),
};

const killed = (worker) => process.kill(worker.pid, "SIGKILL");

let panicking;
before(async () => (panicking = await buildPanickingWorker(environment())));

/**
 * The ways in which the object is lost: `lose` does it to a scene. `end` is how the clients see it.
 */
const CAUSES = {
  "a kill": {
    end: "cut",
    lose: async (scene) => {
      killed(scene.worker);
      await scene.another();
    },
  },
  "a deploy": {
    end: "cut",
    lose: async (scene) => {
      killed(scene.worker);
      await scene.another({ build: panicking });
    },
  },
  "an eviction": {
    end: "hub_lost",
    workerOptions: () => makeEvictable(temporaryFolder("evictable")),
    lose: async ({ worker, phone }) => {
      const response = await get(worker, phone, "/v1/key", { [EVICT]: "1" });
      assert.equal(response.status, 503);
    },
  },
  "a panic": {
    end: "hub_lost",
    givesUpRuns: true,
    workerOptions: () => ({ build: panicking }),
    // The panic is of the hub, and of the edge in its isolate.
    isElsewhere: true,
    lose: async ({ worker }) => {
      const response = await fetch(`${worker.url}/CLAWFRONT-PANIC-ON-DEMAND:path`);
      assert.equal(response.status, 500);
    },
  },
  "a kill, with nothing after it but the alarm": {
    end: "cut",
    lose: async (scene) => {
      await scene.wait(ALARM_MS);
      await until(
        "the runs are looked for",
        async () => (await scene.sim.journal()).open_connections > 0,
      );
      await scene.sim.resume();
      await until("the runs have ended", () => {
        const rows = Object.values(scene.rows());
        return rows.filter((row) => row.startsWith("0\t")).length === 1;
      });
      assert.deepEqual(
        (await scene.runs()).filter(([, ended]) => ended === "running").map(([name]) => name),
        ["left"],
      );
    },
  },
  "a full disk": {
    ...FULL,
    lose: async (scene) => {
      fill(scene.worker);
      // It is counted, and the count is stored within seconds.
      assert.equal((await post(scene.worker, scene.phone, "{")).status, 400);
      await scene.areLost();
      const before = await scene.runs();
      for (const { text, end } of await Promise.all(
        scene.calls.map((call) => read(scene.ask(call, 1))),
      )) {
        assert.equal(text, "");
        assert.match(end, /^hub_(lost|unavailable)$/);
      }
      assert.deepEqual(await scene.runs(), before, "none is started");
      empty(scene.worker);
    },
  },
  "a disk that is full when the runs end": {
    ...FULL,
    // A run that leaves the queue at this moment can begin without a row.
    phases: ["ended", ...HELD],
    resumesRuns: true,
    lose: async (scene) => {
      fill(scene.worker);
      await scene.sim.resume();
      await scene.areLost();
      empty(scene.worker);
    },
  },
};

/** Returns a call for each cell: a client of its own, in one phase, with one form of the answer. */
function callsOf(phases) {
  return phases.flatMap((phase) =>
    ["streamed", "whole"].map((form) => {
      const name = `${phase}-${form}`;
      const fields = phase in AT_ENDPOINT ? ["--default", "main", "--tools", "run"] : [];
      return { name, phase, form, ...newKey(name, "main", ...fields) };
    }),
  );
}

const bodyOf = ({ name, phase, form }, text = name) =>
  says(`${text} [[fake deltas=${WORDS} delay=0 ${PHASES[phase] ?? AT_ENDPOINT[phase]}]]`, {
    stream: form === "streamed",
    ...(phase in AT_ENDPOINT && { tools }),
  });

/** Reads an answer: its text, and how it ended. */
async function read(answer) {
  let response;
  let body = "";
  try {
    response = await answer;
    const decoder = new TextDecoder();
    for await (const bytes of response.body) body += decoder.decode(bytes, { stream: true });
  } catch {
    if (!response?.headers.get("content-type").startsWith("text/event-stream"))
      return { text: "", end: "cut" };
  }
  if (!response.headers.get("content-type").startsWith("text/event-stream")) {
    const { error, choices: [choice] = [] } = JSON.parse(body);
    return { text: choice?.message.content ?? "", end: error?.code ?? choice.finish_reason };
  }
  const complete = body.slice(0, body.lastIndexOf("\n\n") + 1);
  const events = eventsOf(complete);
  const error = events.find((event) => event.error)?.error;
  const isDone = complete.endsWith("data: [DONE]\n");
  const finish = events.findLast((event) => event.choices?.[0]?.finish_reason);
  return {
    text: textOf(events.filter((event) => event.choices)),
    end: error?.code ?? (isDone ? finish?.choices[0].finish_reason : "cut"),
  };
}

/** One front in front of which the object is lost, with a call in each cell. */
class Scene {
  constructor(protocol, cause) {
    Object.assign(this, { protocol, cause, workers: [], storage: temporaryFolder("hub") });
    this.phases = [
      ...(cause.phases ?? Object.keys(PHASES)),
      ...(protocol === 4 ? Object.keys(AT_ENDPOINT) : []),
    ];
    this.calls = callsOf(this.phases);
    this.left = { name: "left", ...newKey("left", "main") };
  }

  async start() {
    const { build, ...workerOptions } = this.cause.workerOptions?.() ?? {};
    const { protocol, storage, calls, left } = this;
    this.front = await startFront({
      ...{ protocol, storage, build, workerOptions },
      entries: [...calls, left].map(({ entry }) => entry),
      vars: {
        // The runs that the gateway has at a time: all but the ones that wait in the hub.
        GATEWAY_RUNS: String(this.in(...ALL_HELD).length + 1),
        ...(protocol === 4 && { GATEWAY_HTTP: "trusted-proxy" }),
      },
      simArgs: protocol === 4 ? ["--chat-completions", "trusted-proxy"] : [],
    });
    ({ sim: this.sim, phone: this.phone, worker: this.worker } = this.front);
  }

  /** Starts another Worker over the same storage. */
  async another(options) {
    this.worker = await this.front.another({}, options);
    this.workers.push(this.worker);
  }

  async stop() {
    for (const worker of this.workers) await worker.stop();
    await this.front?.stop();
  }

  /** The edge that the clients have. */
  get edge() {
    return this.cause.isElsewhere ? this.worker.edge : this.worker;
  }

  in(...phases) {
    return this.calls.filter(({ phase }) => phases.includes(phase));
  }

  ask(call, attempt, text) {
    return post(this.edge, call, bodyOf(call, text), {
      headers: {
        "idempotency-key": `order-${call.name}`,
        "x-stainless-retry-count": String(attempt),
      },
    });
  }

  /** Returns the name of each run's call, and how the run ended, in the order of their starts. */
  async runs() {
    const { runs } = await this.sim.journal();
    return runs.map(({ sessionKey, ended }) => [sessionKey.split(":")[3], ended]);
  }

  async endsOf(name) {
    return (await this.runs()).filter(([other]) => other === name).map(([, ended]) => ended);
  }

  async status(call) {
    return (await get(this.worker, call, "/v1/key")).json();
  }

  /** Returns the rows of the runs, by their names. */
  rows() {
    return rowsOf(this.storage, "run:");
  }

  /** Brings each call into its phase. */
  async begin() {
    for (const call of this.in(...ALL_ENDED)) call.first = this.ask(call, 0);
    for (const { name } of this.in(...ALL_ENDED))
      await until(`${name} ends`, () => lines(this.worker).find(({ key }) => key === name));
    for (const call of this.in(...ALL_HELD)) call.first = read(this.ask(call, 0));
    this.left.first = read(post(this.edge, this.left, says(LEFT, { stream: true })));
    for (const { name } of [...this.in(...ALL_HELD), this.left])
      await until(`${name} begins`, async () => (await this.endsOf(name))[0] === "running");
    for (const { name } of [...this.in("accepted", "text"), this.left])
      await until(`${name} is accepted`, () =>
        beginnings(this.worker).find(({ key }) => key === name),
      );
    for (const call of this.in("queued")) {
      call.first = read(this.ask(call, 0));
      await until(
        `${call.name} waits`,
        async () => (await this.status(call)).concurrent_runs.running === 1,
      );
    }
    assert.deepEqual(
      (await this.runs()).map(([, ended]) => ended).sort(),
      [
        ...this.in(...ALL_ENDED).map(() => "ok"),
        ...[...this.in(...ALL_HELD), this.left].map(() => "running"),
      ],
      "each call is in its phase",
    );
  }

  /** Waits until every client has lost its answer. */
  async areLost() {
    await Promise.all([...this.calls, this.left].map(({ first }) => first));
  }

  /** Sends every request again, and another one under its key. Returns how each call ended. */
  async retry() {
    const seen = Object.fromEntries(this.calls.map(({ name }) => [name, {}]));
    const sendOther = async (call) => {
      const response = await this.ask(call, 0, "another");
      seen[call.name].other = [response.status, (await response.json()).error.code];
    };
    for (const call of this.in(...ALL_ENDED, ...ALL_HELD)) await sendOther(call);
    for (const call of this.calls) call.second = read(this.ask(call, 1));
    await this.sim.resume();
    for (const call of this.calls) seen[call.name].second = await call.second;
    // No hub knew these before.
    for (const call of this.in("queued")) await sendOther(call);
    for (const call of this.calls) {
      const { usage_today, concurrent_runs } = await this.status(call);
      const { runs, answers, stopped, other_failures, input_tokens, output_tokens } = usage_today;
      Object.assign(seen[call.name], {
        first: ALL_ENDED.includes(call.phase) ? undefined : (await call.first).end,
        ends: await this.endsOf(call.name),
        usage: { runs, answers, stopped, other_failures, input_tokens, output_tokens },
        running: concurrent_runs.running,
      });
    }
    return seen;
  }

  /** Kills workerd, and starts it after this time, with nobody but the alarm to make the object. */
  async wait(ms) {
    killed(this.worker);
    letPass(this.storage, ms);
    await this.another();
  }
}

const ANSWER = { text: words(WORDS), end: "stop" };
const ANSWERED = {
  ...{ runs: 1, answers: 1, stopped: 0, other_failures: 0 },
  ...{ input_tokens: 1001, output_tokens: WORDS },
};
const FAILED = {
  ...{ runs: 1, answers: 0, stopped: 0, other_failures: 1 },
  ...{ input_tokens: 0, output_tokens: 0 },
};

/** Returns what is to happen to a call. */
function expected(call, { end, stopsRuns, givesUpRuns, resumesRuns }) {
  const { phase } = call;
  if (isAtEndpoint(call)) return expectedAtEndpoint(phase, end, resumesRuns);
  const isHeld = HELD.includes(phase);
  return {
    first: phase === "ended" ? undefined : end,
    other: [409, "idempotency_key_reused"],
    second: isHeld && stopsRuns ? { text: "", end: "run_aborted" } : ANSWER,
    ends: [isHeld && stopsRuns ? "aborted" : "ok"],
    usage: isHeld && givesUpRuns ? FAILED : ANSWERED,
    running: 0,
  };
}

/** A run at the gateway's endpoint ends with its request, and no hub gets its answer after that. */
function expectedAtEndpoint(phase, end, resumesRuns) {
  const isHeld = AT_ENDPOINT_HELD.includes(phase);
  return {
    first: isHeld ? end : undefined,
    other: [409, "idempotency_key_reused"],
    second: { text: "", end: "run_in_progress" },
    ends: [isHeld && !resumesRuns ? "aborted" : "ok"],
    usage: isHeld ? FAILED : ANSWERED,
    running: 0,
  };
}

async function lose(protocol, cause) {
  const scene = new Scene(protocol, cause);
  const { calls, left } = scene;
  try {
    await scene.start();
    await scene.begin();
    await cause.lose(scene);
    await scene.areLost();
    assert.equal((await left.first).end, cause.end);
    const stopsRuns = cause.givesUpRuns && protocol === 4;
    assert.deepEqual(
      await scene.retry(),
      Object.fromEntries(calls.map((call) => [call.name, expected(call, { ...cause, stopsRuns })])),
    );

    // The run of the client that has not come back.
    await scene.wait(AGE_MS);
    const isGoing = () => Object.values(scene.rows()).some((row) => row.startsWith("0\t"));
    if (protocol === 3 && !cause.givesUpRuns) {
      // Nothing stops it there.
      await until("it is looked for", async () => (await scene.sim.journal()).open_connections > 0);
      await scene.sim.crash();
    }
    await until("it is not followed any more", () => !isGoing());
    const isStopped = protocol === 4;
    // Its row is on the disk before the frame that stops it is sent.
    if (isStopped)
      await until("it is stopped", async () => (await scene.endsOf("left"))[0] !== "running");
    if (isStopped) assert.deepEqual(await scene.endsOf("left"), ["aborted"]);
    const { usage_today, concurrent_runs } = await scene.status(left);
    const { runs, stopped, other_failures } = usage_today;
    const isCountedAsStopped = isStopped && !cause.givesUpRuns;
    assert.deepEqual(
      { runs, stopped, other_failures, running: concurrent_runs.running },
      {
        runs: 1,
        stopped: Number(isCountedAsStopped),
        other_failures: Number(!isCountedAsStopped),
        running: 0,
      },
    );
    await scene.wait(AGE_MS);
    await until("no row is left", () => Object.keys(scene.rows()).length === 0);
    assert.equal((await scene.runs()).length, calls.length + 1, "each run was started once");
  } finally {
    await scene.stop();
  }
}

describe("a hub that is lost", { concurrency: 4 }, () => {
  for (const protocol of [4, 3])
    for (const [name, cause] of Object.entries(CAUSES))
      test(`by ${name}, protocol ${protocol}`, { skip: cause.skip }, () => lose(protocol, cause));
});
