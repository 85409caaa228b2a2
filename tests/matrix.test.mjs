// Tests every fault of the wire, at every point of a connection, streamed and not, on both
// protocols: the exact response, the number of runs, and that no socket stays open. Faults that
// take a deadline's time are in core/tests/exchange/matrix.rs.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { EACH_CONNECTS, lines, post, says, startFront, until } from "./support/front.mjs";
import { words } from "./support/prompts.mjs";

const DELTAS = 8;
const DIRECTIVE = `hi [[fake deltas=${DELTAS} delay=2]]`;
const ANSWER = words(DELTAS);

/** Where a fault comes: in front of this frame; at `end`, behind the last. */
const POINTS = ["challenge", "hello", "accepted", "text1", "text5", "final", "end"];
const isBeforeRun = (point) => point === "challenge" || point === "hello";

/** Faults that the client must not notice, because they change nothing about its run. */
const HARMLESS = ["delay", "garbage", "shape", "binary", "duplicate", "foreign", "reorder"];

/** Faults that end the connection, with the error of a request for which nothing was started. */
const ENDS = {
  drop: [502, "gateway_closed"],
  "half-close": [502, "gateway_closed"],
  "close-1000": [502, "gateway_closed"],
  "close-1008": [502, "gateway_closed"],
  "close-1011": [502, "gateway_closed"],
  "close-4001": [502, "gateway_closed"],
  // A gateway that ends says so, and may be asked again.
  "close-1001": [503, "gateway_unavailable"],
  "close-1012": [503, "gateway_unavailable"],
  // A gateway that begins is connected to again.
  "close-1013": undefined,
  restart: [503, "gateway_unavailable"],
};

const ACTS = [...HARMLESS, ...Object.keys(ENDS), "oversize"];

/** Cells that are none, and why. */
function noCell(act, point) {
  if (act !== "reorder") return undefined;
  if (isBeforeRun(point)) return "nothing follows before the client sends a frame: that is silence";
  if (point === "final" || point === "end") return "nothing follows the last frame";
  return undefined;
}

/** The response, an answer or `[status, code]` of an error, and the number of runs. */
function expected(act, point) {
  if (HARMLESS.includes(act) || point === "end") return { answer: true, runs: 1 };
  if (act === "oversize") {
    // Whatever it was, it cannot be made up for.
    return isBeforeRun(point)
      ? { error: [502, "gateway_protocol_error"], runs: 0 }
      : { error: [400, "gateway_protocol_error"], runs: 1 };
  }
  if (isBeforeRun(point) && ENDS[act]) return { error: ENDS[act], runs: 0 };
  // The run goes on, and is found again.
  return { answer: true, runs: 1 };
}

const FORMS = [true, false];

let cells = 0;
after(() =>
  console.log(
    `${cells} cells: ${ACTS.length} faults, ${POINTS.length} points, streamed and whole, protocols 3 and 4`,
  ),
);

for (const protocol of [4, 3]) {
  describe(`faults of the wire, protocol ${protocol}`, { concurrency: false }, () => {
    let front;
    before(
      async () =>
        (front = await startFront({
          protocol,
          simArgs: ["--pacing-ms", "0"],
          vars: EACH_CONNECTS,
        })),
    );
    after(() => front.stop());

    for (const act of ACTS) {
      test(`${act}, at every point`, async () => {
        for (const point of POINTS) {
          if (noCell(act, point)) continue;
          for (const stream of FORMS) {
            const cell = `${act}@${point}, ${stream ? "streamed" : "whole"}`;
            await check(front, `${act}@${point}`, stream, expected(act, point), cell);
            cells += 1;
          }
        }
      });
    }
  });
}

async function check(front, fault, stream, wanted, cell) {
  await front.sim.reset();
  await front.sim.fault(fault);
  const logged = lines(front.worker).length;
  const response = await post(
    front.worker,
    front.phone,
    says(DIRECTIVE, { stream, stream_options: stream ? { include_usage: true } : undefined }),
  );
  const body = await response.text();
  const answeredAt = performance.now();

  // A stream begins with the first words.
  const begun = stream && wanted.runs > 0 && !/@(accepted|text1)$/.test(fault);
  assert.equal(response.status, begun || wanted.answer ? 200 : wanted.error[0], `${cell}: ${body}`);
  if (wanted.answer) assert.equal(normal(body, stream), stream ? STREAMED : WHOLE, cell);
  else if (begun) checkBrokenStream(normal(body, stream), wanted.error[1], cell);
  else checkError(JSON.parse(body), wanted.error[1], cell);
  // Once a run may have begun, no SDK is to ask again.
  if (!wanted.answer && !begun && wanted.runs > 0)
    assert.equal(response.headers.get("x-should-retry"), "false", cell);

  await until(
    `all sockets are closed (${cell})`,
    async () => (await front.sim.journal()).open_connections === 0,
    1_000 - (performance.now() - answeredAt),
  );
  const { runs, frames, wire_faults } = await front.sim.journal();
  assert.equal(wire_faults, 1, `${cell}: the fault came to its point`);
  assert.equal(runs.length, wanted.runs, `${cell}: runs`);
  const asked = frames.filter(
    ({ method, params }) =>
      method === "agent" &&
      params.agentId !== "clawfront-nobody" &&
      params.channel !== "clawfront-nowhere",
  );
  assert.ok(asked.length <= 1, `${cell}: the run was asked for ${asked.length} times`);
  const line = await until(`a line is logged (${cell})`, () => lines(front.worker)[logged]);
  assert.equal(line.end, wanted.answer ? "stop" : wanted.error[1], cell);
}

/**
 * Returns the body without the parts that differ between requests: ids, dates, and the cuts of
 * the text into pieces.
 */
function normal(body, stream) {
  const bare = body
    .replaceAll(/"id":"chatcmpl-[0-9a-f]+"/g, '"id":"ID"')
    .replaceAll(/"created":\d+/g, '"created":0');
  if (!stream) return bare;
  const join =
    /\{"content":"([^"]*)"\},"finish_reason":null\}\],"usage":null\}\n\ndata: \{"id":"ID","object":"chat.completion.chunk","created":0,"model":"openclaw","choices":\[\{"index":0,"delta":\{"content":"/;
  let joined = bare;
  while (join.test(joined)) joined = joined.replace(join, '{"content":"$1');
  return joined;
}

const chunk = (rest) =>
  `data: {"id":"ID","object":"chat.completion.chunk","created":0,"model":"openclaw",${rest}}\n\n`;
const USAGE = `"usage":{"prompt_tokens":1001,"completion_tokens":${DELTAS},"total_tokens":${1001 + DELTAS},"prompt_tokens_details":{"cached_tokens":100}}`;
const BEGIN = chunk(
  '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null',
);
const text = (content) =>
  chunk(
    `"choices":[{"index":0,"delta":{"content":"${content}"},"finish_reason":null}],"usage":null`,
  );
const STREAMED = [
  BEGIN,
  text(ANSWER),
  chunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null'),
  chunk(`"choices":[],${USAGE}`),
  "data: [DONE]\n\n",
].join("");
const WHOLE = `{"id":"ID","object":"chat.completion","created":0,"model":"openclaw","choices":[{"index":0,"message":{"role":"assistant","content":"${ANSWER}","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],${USAGE}}`;

/** The text before the error is the answer's beginning; then one error, and the end. */
function checkBrokenStream(body, code, cell) {
  assert.ok(body.startsWith(BEGIN), `${cell}: ${body}`);
  let rest = body.slice(BEGIN.length);
  for (let said = ANSWER; ; said = said.slice(0, -1)) {
    const beginning = said === "" ? "" : text(said);
    if (!rest.startsWith(beginning)) continue;
    rest = rest.slice(beginning.length);
    break;
  }
  const [, error] =
    /^data: (\{"error":.*\})\n\ndata: \[DONE\]\n\n$/.exec(rest) ?? assert.fail(`${cell}: ${body}`);
  checkError(JSON.parse(error), code, cell);
}

function checkError(body, code, cell) {
  assert.deepEqual(Object.keys(body), ["error"], cell);
  assert.deepEqual(Object.keys(body.error).sort(), ["code", "message", "param", "type"], cell);
  assert.equal(body.error.code, code, cell);
}
