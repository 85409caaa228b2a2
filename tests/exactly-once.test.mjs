// One call of a user is one run of the agent, whatever goes wrong: the official SDKs at their
// default settings, which try three times whatever looks as if it could be tried again.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { openaiAdapter } from "./clients/openai-adapter.mjs";
import { pythonAdapter, startClientFront } from "./support/clients.mjs";
import { EACH_CONNECTS, lines, post, says, until } from "./support/front.mjs";
import { startLossyNetwork } from "./support/lossy.mjs";
import { freePort } from "./support/ports.mjs";
import { words } from "./support/prompts.mjs";

const SDKS = ["openai-node", "openai-python"];
const FORMS = ["stream", "whole"];

/**
 * Events behind the gateway, or between it and the Worker: `[directive, how it ends, runs if not
 * one]`. `undefined` is an answer.
 */
const SCRIPTED = [
  // Refused before anything was started, each time: each attempt may ask, none starts anything.
  ["draining=1", "gateway_unavailable", 0],
  ["deltas=6"],
  ["deltas=6 tool=1"],
  ["deltas=6 foreign=2 unknown=1"],
  ["deltas=6 slowaccept=1500"],
  // The connection to the gateway is lost: before the acceptance arrived, after it, in mid-text,
  // before the final response.
  ["lostaccept=1 delay=30"],
  ["deltas=6 delay=30 drop=0"],
  ["deltas=6 delay=30 drop=3"],
  ["deltas=6 delay=30 drop=6"],
  ["deltas=6 delay=30 drop=3 settle=300"],
  ...[1001, 1006, 1008, 1011, 1012, 4001].map((code) => [
    code === 1006 ? "deltas=6 delay=30 drop=4" : `deltas=6 delay=30 close=${code} after=3`,
  ]),
  ["deltas=6 delay=30 garbage=3"],
  // The model's provider fails, or the run does.
  ["retry=2 cut=3 deltas=6"],
  ["error=400", { 4: "provider_rejected_request", 3: "run_failed" }],
  ["error=401", { 4: "provider_account_error", 3: "run_failed" }],
  ["error=404", { 4: "provider_model_not_found", 3: "run_failed" }],
  ["error=429", { 4: "provider_throttled", 3: "run_failed" }],
  ["error=500", { 4: "provider_error", 3: "run_failed" }],
  ["error=503", { 4: "provider_overloaded", 3: "run_failed" }],
  ["error=500 retry=2", { 4: "provider_error", 3: "run_failed" }],
  ["streamerror=3", "run_failed"],
  ["cut=3", { 4: "provider_timeout", 3: "run_failed" }],
  ["timeoutrun=1", "run_aborted"],
  // On protocol 3 a text that does not go on is a new one, after the one before it.
  ["retract=3 deltas=20 delay=20", { 4: "answer_retracted" }],
];

/** The directives that cut the connection. */
const CUTS = /drop=|close=|lostaccept=/;

/**
 * Failures of the first attempt before anything can be started; the next attempt finds a healthy
 * gateway. A failure that only an operator can fix is not tried again: `[fault, how it ends]`.
 */
const BEGINNINGS = [
  ["status-503"],
  ["startup"],
  ["close-before-challenge"],
  // The wait that it asks for is longer than openai-python is willing to wait.
  ["auth-rate-limited", [undefined, "gateway_unavailable"]],
  ...[
    "html-200",
    "not-found-404",
    "upgrade-426",
    "access-302",
    "proxy-attribution",
    "protocol-mismatch",
    "no-write-scope",
  ].map((fault) => [fault, ["gateway_refused"]]),
  // Protocol 3 reports no scopes.
  ["wide-scopes", [undefined, "gateway_refused"]],
];
/** The Worker waits for these in vain for 20 s. */
const SILENT_BEGINNINGS = [["no-challenge"], ["no-hello"]];

/** Faults of the wire, each in front of each of these frames. */
const ON_THE_WIRE = [
  "drop",
  "close-1012",
  "restart",
  "garbage",
  "shape",
  "duplicate",
  "reorder",
  "foreign",
];
const FRAMES = ["challenge", "hello", "accepted", "text2", "final"];

const HEAD = "\r\n\r\n";
/**
 * The part of the first answer that the network between client and Worker loses: `[name,
 * directive, lose, how it may end]`.
 */
const LOSSES = [
  ["before its first byte", "deltas=8 delay=100", ({ end }) => end()],
  [
    "within its head",
    "deltas=8 delay=100",
    ({ answer, end, hand }) => {
      hand(answer.subarray(0, 30));
      end();
    },
  ],
  [
    "within its body",
    "deltas=8 delay=100",
    ({ answer, end, hand }) => {
      if (!isLongerThan(answer, 60)) return;
      hand(answer.subarray(0, answer.indexOf(HEAD) + 60));
      end();
    },
    [undefined, "cut"],
  ],
  [
    "all of it",
    "deltas=8 delay=20",
    ({ answer, end }) => /"finish_reason":"stop"/.test(answer) && end(),
  ],
];
const isLongerThan = (answer, bytes) =>
  answer.includes(HEAD) && answer.length > answer.indexOf(HEAD) + HEAD.length + bytes;

/** Users who wait less long than their agent takes. */
const IMPATIENT_S = 2;
const IMPATIENCE = [
  "deltas=40 delay=100",
  "deltas=5 slowaccept=3000",
  "deltas=4 stall=2",
  "nofinal=1",
];

/**
 * Cases at a time: more of them would not be faster, but each would be so slow that SDKs ask again
 * later than in any network.
 */
const AT_A_TIME = 4;
/** For work that takes no time on a quiet machine. */
const PATIENCE_MS = 60_000;

let calls = 0;
let runsSeen = 0;
after(() =>
  console.log(
    `exactly once: ${calls} calls by ${SDKS.join(" and ")}, ${runsSeen} runs, never two for one`,
  ),
);

// Most of their time is spent waiting.
describe("exactly once", { concurrency: true }, () => [4, 3].forEach(suite));

function suite(protocol) {
  describe(`protocol ${protocol}`, { concurrency: true }, () => {
    const python = pythonAdapter("openai_python");
    const fronts = [];
    const startFront = async (options) => {
      const front = await startClientFront({ protocol, ...options });
      fronts.push(front);
      return front;
    };
    after(async () => {
      await python.close();
      for (const front of fronts) await front.stop();
    });

    /**
     * Makes a call with each SDK in each form, together or `inTurn`. Returns the result of each
     * call: `{ sdk, form, outcome, text, runs }`.
     */
    async function callAll(
      front,
      directive,
      { key = front.phone.key, networkOf, timeoutS, forms = FORMS, inTurn = false } = {},
    ) {
      const call = async (sdk, form) => {
        const id = `call-${calls++}.`;
        const network = await networkOf?.();
        const at = { baseURL: network ? `${network.url}/v1` : front.baseURL, key };
        // At their default settings, but for the user's own patience.
        const options = timeoutS
          ? { timeout: sdk === "openai-node" ? timeoutS * 1000 : timeoutS }
          : {};
        const client = sdk === "openai-node" ? openaiAdapter({ ...at, options }) : python(at);
        const asked = client.ask({
          content: `${id} [[fake ${directive}]]`,
          stream: form === "stream",
          ...(sdk === "openai-python" && { options }),
        });
        const { outcome, text } = await asked.then(
          ({ text, finish }) => ({
            outcome: finish === "stop" ? undefined : `finish ${finish}`,
            text,
          }),
          (error) => ({ outcome: classOf(error) }),
        );
        network?.stop();
        return { sdk, form, outcome, text, id };
      };
      const pairs = SDKS.flatMap((sdk) => forms.map((form) => [sdk, form]));
      if (!inTurn) return withRuns(front, await Promise.all(pairs.map((pair) => call(...pair))));
      const seen = [];
      for (const pair of pairs) seen.push(await call(...pair));
      return withRuns(front, seen);
    }

    /**
     * Returns the number of runs that the gateway started for each call, identified by the text
     * of the call.
     */
    async function withRuns(front, seen) {
      const { runs, frames } = await front.sim.journal();
      return seen.map(({ id, ...call }) => {
        const keys = new Set(
          frames
            .filter(({ method, params }) => method === "agent" && params.message?.includes(id))
            .map(({ params }) => params.idempotencyKey),
        );
        const started = runs.filter(({ runId }) => keys.has(runId)).length;
        runsSeen += started;
        return { ...call, runs: started };
      });
    }

    /**
     * All calls ended as they should: an answer is that of one run, a failure that of `runs` of
     * them.
     */
    function check(name, seen, { ends = [undefined], runs = [1], text } = {}) {
      for (const call of seen) {
        const told = `${name}, ${call.sdk}, ${call.form}: ${call.outcome ?? "an answer"}, ${call.runs} runs`;
        assert.ok((call.outcome === undefined ? [1] : runs).includes(call.runs), told);
        assert.ok(ends.includes(call.outcome), told);
        if (text && call.outcome === undefined) assert.equal(call.text, text, told);
      }
    }

    /** Plays a scripted case. */
    async function play(front, [directive, ends, runs = 1], options) {
      const count = directive.match(/deltas=(\d+)/)?.[1] ?? 5;
      const text = directive.includes("retract")
        ? undefined
        : `${directive.includes("tool") ? "Let me check.\n\n" : ""}${words(Number(count))}`;
      check(directive, await callAll(front, directive, options), {
        ends: [typeof ends === "object" ? ends[protocol] : ends],
        runs: [runs],
        text,
      });
    }

    // A connection that is cut is that of all calls, so they come one after the other: one that
    // has not been accepted then may be lost (docs/reliability.md).
    describe("with a gateway that cuts the connection", { concurrency: 1 }, () => {
      let front;
      before(async () => (front = await startFront()));

      for (const scripted of SCRIPTED.filter(([directive]) => CUTS.test(directive)))
        test(scripted[0], () => play(front, scripted, { inTurn: true }));
    });

    describe("with a gateway", { concurrency: AT_A_TIME }, () => {
      let front;
      before(async () => (front = await startFront()));

      for (const scripted of SCRIPTED.filter(([directive]) => !CUTS.test(directive)))
        test(scripted[0], () => play(front, scripted));

      for (const [name, directive, lose, ends] of LOSSES) {
        for (const far of ["notices it", "does not"]) {
          test(`an answer of which the network loses ${name}, and the Worker ${far}`, async () => {
            const networkOf = () =>
              startLossyNetwork(front.worker.port, ({ answer, client, server }) => {
                const end = () => {
                  client.resetAndDestroy();
                  if (far === "notices it") server.destroy();
                };
                if (!client.destroyed) lose({ answer, end, hand: (bytes) => client.write(bytes) });
              });
            const seen = await callAll(front, directive, { networkOf });
            // Where the Worker notices that its client left, the run is stopped, and stays so for
            // the next request for it.
            check(name, seen, {
              ends: ends ?? (far === "notices it" ? [undefined, "run_aborted"] : [undefined]),
              text: words(8),
            });
          });
        }
      }

      for (const directive of IMPATIENCE) {
        test(`${directive}, to a client that waits ${IMPATIENT_S} s`, async () => {
          const seen = await callAll(front, directive, { timeoutS: IMPATIENT_S, forms: ["whole"] });
          // On a busy machine even the third attempt may be one too early, or the first two not get
          // to the gateway.
          check(directive, seen, { ends: [undefined, "timeout"], runs: [0, 1] });
        });
      }
    });

    /** The first attempt of each call meets the fault, the next one does not. */
    async function begin(front, fault, ends) {
      await front.sim.reset();
      await front.sim.fault(fault, null);
      const before = lines(front.worker).length;
      const seen = callAll(front, "deltas=3");
      // They share the connection, so the gateway does not see each of them.
      await until(
        "each has met the fault",
        () => lines(front.worker).length >= before + SDKS.length * FORMS.length,
        PATIENCE_MS,
      );
      await front.sim.fault(null);
      check(fault, await seen, { ends, runs: [0], text: words(3) });
    }

    describe("with a gateway that closes or refuses at first", { concurrency: 1 }, () => {
      let front;
      before(async () => (front = await startFront({ vars: EACH_CONNECTS })));
      for (const [fault, ends] of BEGINNINGS) test(fault, () => begin(front, fault, ends));
    });

    describe("with faults on the wire", { concurrency: AT_A_TIME }, () => {
      for (const act of ON_THE_WIRE) {
        test(`${act}, in front of any frame`, async () => {
          const front = await startFront({ vars: EACH_CONNECTS });
          let answered = 0;
          // Where the gateway says nothing more until it is answered, a reordered frame is a
          // silence like those below.
          const frames = act === "reorder" ? ["accepted", "text2"] : FRAMES;
          for (const frame of frames) {
            await front.sim.fault(`${act}@${frame}`, SDKS.length * FORMS.length);
            // Each call makes a connection of its own, which meets the fault.
            const seen = await callAll(front, "deltas=5 delay=10", { inTurn: true });
            // tests/matrix.test.mjs says which of them can be served, and how the others fail.
            const failures = seen
              .map(({ outcome }) => outcome)
              .filter((outcome) => /^(gateway|answer)_\w+$/.test(outcome));
            check(`${act}@${frame}`, seen, {
              ends: [undefined, ...failures],
              runs: [0, 1],
              text: words(5),
            });
            answered += seen.length - failures.length;
          }
          assert.ok(
            answered > (frames.length * SDKS.length * FORMS.length) / 2,
            `${answered} answers`,
          );
        });
      }
    });

    describe("with a gateway that is silent at first", { concurrency: true }, () => {
      for (const [fault, ends] of SILENT_BEGINNINGS)
        test(fault, async () => begin(await startFront({ vars: EACH_CONNECTS }), fault, ends));
    });

    test("a gateway that is not there at first", async () => {
      const gateway = await startLateGateway();
      const front = await startFront({ gatewayUrl: gateway.url, vars: EACH_CONNECTS });
      const seen = callAll(front, "deltas=3");
      await until(
        "each has been refused",
        () => lines(front.worker).length >= SDKS.length * FORMS.length,
        PATIENCE_MS,
      );
      await gateway.begin(new URL(front.sim.http).port);
      check("refused connection", await seen, { text: words(3) });
      gateway.stop();
    });

    test("a key that has as many runs as it may", async () => {
      const front = await startFront({ vars: EACH_CONNECTS });
      const controller = new AbortController();
      const first = await post(
        front.worker,
        front.single,
        says("first [[fake deltas=400 delay=50]]", { stream: true }),
        { signal: controller.signal },
      );
      assert.equal(first.status, 200);
      // One at a time: each waits for its turn.
      for (const form of FORMS) {
        const seen = callAll(front, "deltas=3", { key: front.single.key, forms: [form] });
        await until("one has been refused", () =>
          lines(front.worker).some(({ end }) => end === "concurrent_runs_exceeded"),
        );
        controller.abort();
        check("one run at a time", await seen, {
          ends: [undefined, "concurrent_runs_exceeded"],
          runs: [0],
          text: words(3),
        });
      }
    });
  });
}

/** Returns an error's code, or the SDK's name for a connection that fails. */
function classOf(error) {
  if (error.code && !/^[A-Z_]+$/.test(error.code)) return error.code;
  const name = error.kind ?? error.constructor.name;
  if (/Timeout/.test(name)) return "timeout";
  // openai-node forwards the error of fetch for a body that was cut.
  return /^(APIConnectionError|TypeError)$/.test(name) &&
    /terminated|Connection error/.test(error.message)
    ? "cut"
    : `${name}: ${error.message}`;
}

/** Returns a port without a listener until `begin`, and with a gateway from then on. */
async function startLateGateway() {
  const sockets = new Set();
  const port = await freePort();
  let to;
  const server = createServer((worker) => {
    const gateway = connect(to, "127.0.0.1");
    worker.pipe(gateway).pipe(worker);
    for (const socket of [worker, gateway]) sockets.add(socket.on("error", () => {}));
  });
  return {
    url: `ws://127.0.0.1:${port}`,
    begin: async (gatewayPort) => {
      to = gatewayPort;
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
