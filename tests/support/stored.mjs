// Sends requests about stored responses, reads their streams, and checks their rules.

import assert from "node:assert/strict";
import { request } from "node:http";
import { until } from "./front.mjs";

/** The events of which a stream has one, as its last. */
const TERMINAL = ["response.completed", "response.incomplete", "response.failed"];

/** The states that a response does not leave. */
const ENDED = ["completed", "incomplete", "failed", "cancelled"];

/** Shows an answer in the message of an assertion. */
const shown = ({ status, text }) => `HTTP ${status} ${text}`;

async function answerOf(response) {
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: type.startsWith("application/json") ? JSON.parse(text) : undefined,
  };
}

/** Returns the requests of one key about responses, at one Worker, without an SDK. */
export function responsesOf(worker, { key }) {
  const send = (method, path, { body, headers, signal } = {}) =>
    fetch(`${worker.url}/v1/responses${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body && { "content-type": "application/json" }),
        ...headers,
      },
      body: body && JSON.stringify(body),
      signal,
    });
  const ask = async (...call) => answerOf(await send(...call));
  const api = {
    send,
    /** Returns the answer to a new response: `{ status, headers, text, body }`. */
    create: (input, fields, headers) =>
      ask("POST", "", { body: { model: "openclaw", input, ...fields }, headers }),
    /** Begins a stream of a new response, for `readEvents`. */
    stream: (input, fields, headers) =>
      send("POST", "", { body: { model: "openclaw", input, stream: true, ...fields }, headers }),
    get: (id, query = "") => ask("GET", `/${id}${query}`),
    /** Begins to read a response's stream, after the event with the number `after`. */
    replay: (id, after) =>
      send("GET", `/${id}?stream=true${after === undefined ? "" : `&starting_after=${after}`}`),
    cancel: (id) => ask("POST", `/${id}/cancel`),
    remove: (id) => ask("DELETE", `/${id}`),
    items: (id, query = "") => ask("GET", `/${id}/input_items${query}`),
    /** Returns a response's object, which the Worker must have. */
    found: async (id) => ok(await api.get(id)),
    /** Waits until a response has ended, and returns its object. */
    ended: (id, limitMs) =>
      until(
        `the response ${id} has ended`,
        async () => {
          const object = await api.found(id);
          return ENDED.includes(object.status) && object;
        },
        limitMs,
      ),
    /** Begins a background response, and returns its object. */
    begin: async (input, fields) => {
      const object = ok(await api.create(input, { background: true, ...fields }));
      assert.match(object.id, /^resp_/, JSON.stringify(object));
      return object;
    },
    /** Begins a streamed background response, and leaves after the event that `isLast` selects. */
    beginStream: async (input, isLast = (event) => event.sequence === 0, fields = {}) => {
      const events = await readEvents(await api.stream(input, { background: true, ...fields }), {
        isLast,
      });
      assert.ok(events.length > 0, "the stream has events");
      return { id: events[0].data.response.id, events, last: events.at(-1).sequence };
    },
  };
  return api;
}

/** Returns the body of an answer, which must be 200 with JSON. */
export function ok(answer) {
  assert.equal(answer.status, 200, shown(answer));
  assert.ok(answer.body, `the answer is not JSON: ${shown(answer)}`);
  return answer.body;
}

/** Checks an error: its status, and the fields of its body that are given. */
export function isError(answer, status, fields = {}) {
  assert.equal(answer.status, status, shown(answer));
  const { error } = answer.body ?? {};
  assert.ok(error?.message && error.type, `the error has no message or type: ${shown(answer)}`);
  for (const [name, value] of Object.entries(fields))
    if (value instanceof RegExp) assert.match(error[name] ?? "", value, shown(answer));
    else assert.equal(error[name], value, shown(answer));
}

/** Checks that a response is not there. */
export const isUnknown = (answer) => isError(answer, 404, { type: "invalid_request_error" });

/**
 * Sends a request for a background response, and ends its connection as soon as it has the answer.
 * Returns the answer's object.
 */
export const beginAndLeave = (worker, { key }, input, fields) =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify({ model: "openclaw", input, background: true, ...fields });
    const sent = request(`${worker.url}/v1/responses`, {
      method: "POST",
      agent: false,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    });
    sent.on("error", reject);
    sent.on("response", async (response) => {
      let text = "";
      for await (const bytes of response) text += bytes;
      response.socket.destroy();
      if (response.statusCode === 200) resolve(JSON.parse(text));
      else reject(new Error(`HTTP ${response.statusCode} ${text}`));
    });
    sent.end(body);
  });

const EVENT = /^event: (\S+)\ndata: (\{.*\})$/;

/**
 * Reads a stream's events: `{ type, sequence, data, block }`, where `block` is the event's bytes.
 * Comments are left out. It leaves after the event that `isLast` selects. `onEvent` is called with
 * each event. The stream may be `cut`: then the events before that are returned.
 */
export async function readEvents(
  response,
  { isLast = () => false, onEvent = () => {}, cut = false } = {},
) {
  const type = response.headers.get("content-type");
  if (response.status !== 200 || !type.startsWith("text/event-stream"))
    assert.fail(`no stream: HTTP ${response.status} ${type} ${await response.text()}`);
  const events = [];
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const bytes of response.body) {
      const blocks = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks.map((block) => block.replace(/^(:.*\n)+/, ""))) {
        const event = eventOf(block);
        events.push(event);
        onEvent(event);
        if (isLast(event)) return events;
      }
    }
  } catch (error) {
    if (!cut || error instanceof assert.AssertionError) throw error;
    return events;
  }
  assert.ok(cut || /^(:.*\n)*$/.test(rest), `the stream ends within an event: ${rest}`);
  return events;
}

/** Parses an event. Another line than `event:` and `data:` is a failure, such as `id:`. */
function eventOf(block) {
  const [, type, text] = block.match(EVENT) ?? assert.fail(`no event: ${JSON.stringify(block)}`);
  const data = JSON.parse(text);
  assert.equal(data.type, type, block);
  return { type, sequence: data.sequence_number, data, block };
}

/** Returns the events' numbers and types for the message of an assertion. */
export function summary(events) {
  const groups = [];
  for (const { sequence, type } of events)
    if (groups.at(-1)?.type === type) groups.at(-1).numbers.push(sequence);
    else groups.push({ type, numbers: [sequence] });
  return groups.map(({ type, numbers }) => `${numbers.join(" ")} ${type}`).join("\n");
}

/**
 * Checks the rules of a whole stream, or of the rest of one after the event with the number
 * `after`: numbers rise by one from 0, `response.created` is the first event and there is no other,
 * and one terminal event, of the type `end`, is the last.
 */
export function isWhole(events, { after = -1, end = "response.completed" } = {}) {
  const seen = summary(events);
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    events.map((_, index) => after + 1 + index),
    seen,
  );
  const created = events.filter(({ type }) => type === "response.created");
  assert.deepEqual(
    created.map(({ sequence }) => sequence),
    after < 0 ? [0] : [],
    seen,
  );
  const ends = events.filter(({ type }) => TERMINAL.includes(type));
  assert.deepEqual(
    ends.map(({ type }) => type),
    [end],
    seen,
  );
  assert.equal(events.at(-1), ends[0], seen);
}

/** Returns the text of the events' deltas. */
export const deltasOf = (events) =>
  events
    .filter(({ type }) => type === "response.output_text.delta")
    .map(({ data }) => data.delta)
    .join("");

/** Returns the events' bytes, to compare what two readers got. */
export const bytesOf = (events) => events.map(({ block }) => block);

/** Returns the text of a response's messages. */
export const outputText = ({ output }) =>
  output
    .filter(({ type }) => type === "message")
    .flatMap(({ content }) => content)
    .map(({ text }) => text)
    .join("");

/**
 * Selects the delta with the word of this number, from 1 on: on a busy machine one delta has
 * several words.
 */
export function delta(count) {
  let seen = 0;
  return ({ type, data }) => {
    if (type === "response.output_text.delta") seen += data.delta.trim().split(/\s+/).length;
    return seen >= count;
  };
}
