// Makes the calls of a soak: the request and key of each, its client's behaviour, and the ends that
// it may have.

import { words } from "../tests/support/prompts.mjs";

/** Client keys, by name: further options of `clawfront keys new`. All reach the agent main. */
export const KEYS = {
  plain: [],
  silent: ["--heartbeat", "off"],
  finisher: ["--on-disconnect", "finish"],
  thinker: ["--reasoning", "on"],
  few: ["--runs", "2"],
  rare: ["--rpm", "60"],
  tooled: ["--tools", "run"],
};

/** The tools of a client: such a call goes to the gateway's HTTP endpoint (protocol 4). */
const TOOLS = [
  {
    type: "function",
    function: { name: "get_weather", parameters: { type: "object", properties: {} } },
  },
];
const withTools = (call) => ({ ...call, key: "tooled", body: { tools: TOOLS } });

/** Small seeded randomness (mulberry32): the same seed gives the same calls. */
export function randomness(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    /** A whole number from `low` to `high`, both included. */
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    one: (list) => list[Math.floor(next() * list.length)],
    chance: (share) => next() < share,
  };
}

/** A call whose run is delivered to its end. */
const answered = (deltas, directive, more = {}) => ({
  directive: `deltas=${deltas} ${directive}`,
  text: words(deltas),
  ends: ["answer"],
  runs: 1,
  ...more,
});
/**
 * A call that ends as one of these errors; the text streamed before it is a beginning of the
 * answer.
 */
const failing = (deltas, directive, codes, more = {}) => ({
  directive: `deltas=${deltas} ${directive}`,
  text: words(deltas),
  ends: codes,
  runs: 1,
  ...more,
});
/** A call that is refused before there is a run. */
const refused = (code, more = {}) => ({
  directive: "deltas=2",
  text: "",
  ends: [code],
  runs: 0,
  ...more,
});

/** How a provider's failure ends a run on protocol 4; protocol 3 has no such event. */
const PROVIDER = {
  400: "provider_rejected_request",
  401: "provider_account_error",
  429: "provider_throttled",
  500: "provider_error",
};

/**
 * Each kind of call: `[share, make]`. `make` gets `{ random, protocol, stream }` and gives `{
 * directive, text, finish, ends, runs, key, headers, body, client }`: `text` is the whole answer,
 * `ends` the ends that the call may have, `runs` the number of runs it starts (`[least, most]`
 * where that depends), `client` its client's behaviour: `reads`, `leaves` after a number of
 * milliseconds, is `slow`, asks `twice` at once, `again` afterwards, or `retries` as an SDK does.
 */
export const KINDS = {
  plain: [
    20,
    ({ random }) =>
      answered(random.between(1, 40), `delay=${random.between(0, 10)}`, {
        key: random.one(["plain", "silent", "finisher", "thinker"]),
      }),
  ],
  "at the token limit": [
    2,
    ({ random }) => answered(random.between(1, 20), "finish=length", { finish: "length" }),
  ],
  "around a tool": [
    3,
    ({ random }) => ({
      ...answered(random.between(2, 20), "tool=1"),
      text: undefined,
      textEnds: "w1",
    }),
  ],
  thinking: [
    2,
    ({ random }) =>
      answered(random.between(2, 20), `reasoning=${random.between(1, 5)}`, { key: "thinker" }),
  ],
  "with events of others": [
    3,
    ({ random }) => answered(random.between(2, 10), `foreign=${random.between(1, 3)} unknown=1`),
  ],
  "retried by the gateway": [
    2,
    ({ random }) => answered(random.between(6, 12), `retry=1 cut=${random.between(1, 4)}`),
  ],
  "provider fails": [
    4,
    ({ random, protocol }) => {
      const status = random.one(Object.keys(PROVIDER));
      return failing(5, `error=${status}`, [
        protocol === 4 ? PROVIDER[status] : "run_failed",
        "run_failed",
      ]);
    },
  ],
  "provider cut": [
    3,
    ({ random }) =>
      failing(8, random.one(["streamerror=4", "cut=4"]), [
        "run_failed",
        "provider_error",
        "provider_timeout",
      ]),
  ],
  retracted: [
    2,
    ({ random }) =>
      failing(40, `retract=${random.between(2, 6)} delay=20`, ["answer_retracted", "answer"], {
        text: undefined,
      }),
  ],
  garbage: [
    2,
    ({ random }) =>
      failing(6, `garbage=${random.between(0, 5)}`, ["gateway_protocol_error", "answer"]),
  ],
  draining: [2, () => refused("gateway_unavailable", { directive: "draining=1" })],
  "accepted late": [2, ({ random }) => answered(4, `slowaccept=${random.between(20, 400)}`)],
  "connection closed": [
    6,
    ({ random }) =>
      answered(
        20,
        `delay=10 close=${random.one([1001, 1008, 1012, 4001])} after=${random.between(0, 15)}`,
      ),
  ],
  "connection cut": [6, ({ random }) => answered(20, `delay=10 drop=${random.between(0, 15)}`)],
  "acceptance lost": [3, () => answered(10, "delay=10 lostaccept=1")],
  "request lost": [
    2,
    ({ protocol }) =>
      protocol === 4
        ? answered(10, "delay=10 lostask=1")
        : failing(10, "lostask=1", ["gateway_connection_lost"], { runs: 0 }),
  ],
  "cut, late to remember": [
    2,
    ({ random }) =>
      answered(20, `delay=10 drop=${random.between(2, 15)} settle=${random.between(50, 300)}`),
  ],
  "client leaves": [
    12,
    ({ random }) => ({
      ...answered(60, `delay=${random.between(5, 20)}`, {
        key: random.one(["plain", "plain", "finisher"]),
      }),
      ends: ["left", "answer"],
      runs: [0, 1],
      client: { leaves: random.between(0, 500) },
    }),
  ],
  "client leaves a lost connection": [
    2,
    ({ random }) => ({
      ...answered(60, `delay=15 drop=${random.between(1, 10)}`),
      ends: ["left", "answer"],
      runs: [0, 1],
      client: { leaves: random.between(100, 600) },
    }),
  ],
  "client leaves in silence": [
    1,
    ({ random }) => ({
      ...answered(1, "stall=1"),
      ends: ["left"],
      runs: [0, 1],
      client: { leaves: random.between(100, 400) },
      silent: true,
    }),
  ],
  "client's tools": [
    4,
    ({ random, protocol }) =>
      protocol === 4
        ? withTools(
            random.chance(0.5)
              ? answered(random.between(2, 20), "delay=10")
              : answered(3, "call=get_weather", { finish: "tool_calls" }),
          )
        : answered(2, ""),
  ],
  "client's tools, broken off": [
    2,
    ({ random, protocol }) =>
      protocol === 4
        ? withTools(failing(6, `drop=${random.between(1, 5)}`, ["gateway_connection_lost"]))
        : answered(2, ""),
  ],
  "client's tools, left": [
    2,
    ({ random, protocol }) => ({
      ...(protocol === 4 ? withTools(answered(60, "delay=15")) : answered(60, "delay=15")),
      ends: ["left", "answer"],
      runs: [0, 1],
      client: { leaves: random.between(0, 500) },
    }),
  ],
  "slow reader": [
    3,
    ({ random }) =>
      answered(random.between(20, 60), "delay=5", { client: { slow: random.between(5, 40) } }),
  ],
  "twice at once": [
    3,
    ({ random }) => answered(random.between(2, 20), "delay=10", { client: "twice" }),
  ],
  "asked again": [3, ({ random }) => answered(random.between(2, 10), "", { client: "again" })],
  "repeated by an SDK": [
    3,
    ({ random }) =>
      answered(random.between(30, 40), "delay=50", { client: "retries", stream: true }),
  ],
  "key reused": [1, () => answered(2, "", { client: "reuses" })],
  "two runs at most": [
    4,
    ({ random }) =>
      answered(random.between(5, 20), "delay=10", {
        key: "few",
        ends: ["answer", "concurrent_runs_exceeded"],
        runs: [0, 1],
      }),
  ],
  "sixty a minute": [
    2,
    () => answered(2, "", { key: "rare", ends: ["answer", "rate_limit_exceeded"], runs: [0, 1] }),
  ],
  "unknown key": [
    1,
    () =>
      refused("invalid_api_key", {
        ends: ["invalid_api_key", "too_many_failed_attempts"],
        key: "stranger",
      }),
  ],
  "unknown agent": [1, () => refused("model_not_found", { body: { model: "openclaw/nobody" } })],
  "not supported": [1, () => refused("invalid_request", { body: { n: 2 } })],
  "no JSON": [1, () => refused("invalid_request", { raw: '{"model":' })],
};

/** The ends that a call may have if its connection is cut. */
export const CUT = {
  endsWithoutRun: ["gateway_closed", "gateway_connection_lost"],
  endsOf: {
    retracted: ["answer_lost"],
    "retried by the gateway": ["answer_lost"],
    "around a tool": ["answer_lost"],
    // Nothing leads back to a run at the HTTP endpoint.
    "client's tools": ["gateway_connection_lost"],
    "client's tools, left": ["gateway_connection_lost"],
  },
};

/**
 * Disturbances by the simulated gateway, and the ends that the calls may have which meet them. All
 * calls share the connection: it is cut, and the next one meets the fault, if there is one. A run
 * that has begun is found again after every fault, so only a call without a run may end by it.
 */
export const DISTURBANCES = [
  { fault: "status-503", ends: ["gateway_unavailable", "gateway_refused", "gateway_unreachable"] },
  { fault: "access-302", ends: ["gateway_refused"] },
  { fault: "html-200", ends: ["gateway_refused"] },
  { fault: "not-found-404", ends: ["gateway_refused"] },
  { fault: "startup", ends: ["gateway_unavailable"] },
  { fault: "close-before-challenge", ends: [] },
  { fault: "protocol-mismatch", ends: ["gateway_refused"] },
  // On protocol 3 the connection is made, and the gateway refuses its requests: a run that is
  // looked for there is lost.
  {
    fault: "no-write-scope",
    ends: ["gateway_refused"],
    endsOnV3: ["gateway_connection_lost"],
  },
  { ends: [] },
].map(({ ends, ...disturbance }) => ({
  ...CUT,
  ...disturbance,
  endsWithoutRun: [...CUT.endsWithoutRun, ...ends],
}));

/** A run at the HTTP endpoint cannot be looked for, so a client that asks again is refused. */
const LOST_WITH_TOOLS = {
  "client's tools": ["run_in_progress"],
  "client's tools, broken off": ["run_in_progress"],
  "client's tools, left": ["run_in_progress"],
};

/**
 * The ways in which the hub is lost. Its socket is, too. An SDK does not try again where a run has
 * started, as it is instructed.
 */
export const LOSSES = ["evicted", "killed"].map((fault) => ({
  ...CUT,
  fault,
  endsOf: { ...CUT.endsOf, "repeated by an SDK": ["hub_lost"], ...LOST_WITH_TOOLS },
}));

/** Of this number of calls the first SILENT_CALLS may be left in silence. */
const SILENT_CALLS = 500;
const SILENT_EVERY_CALLS = 2000;

/** The call with this number: always the same one for a seed. */
export function call(number, { seed, protocol, silence }) {
  const random = randomness(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
  const kinds = Object.entries(KINDS).flatMap(([kind, [share, make]]) =>
    Array(share).fill([kind, make]),
  );
  const stream = random.chance(0.6);
  for (;;) {
    const [kind, make] = random.one(kinds);
    const made = {
      key: "plain",
      finish: "stop",
      client: "reads",
      number,
      kind,
      stream,
      ...make({ random, protocol, stream }),
    };
    // They take a round's time for themselves.
    if (made.silent && (!silence || number % SILENT_EVERY_CALLS >= SILENT_CALLS)) continue;
    // A client that waits for a whole answer is noticed to have left only after half a minute.
    if (made.client.leaves !== undefined) made.stream = made.silent || made.stream;
    return made;
  }
}
