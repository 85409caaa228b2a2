// Requests of a client about stored and background responses, at any server of the Responses
// API.

import { setTimeout as sleep } from "node:timers/promises";

/** The time between two looks at a response, and the number of looks. */
const LOOK_MS = 50;
const LOOKS = 400;

/** A run that is still going when something is asked about it, and one that soon ends. */
const SLOW = "hi [[fake deltas=100 delay=100]]";
const QUICK = "hi [[fake deltas=4 delay=5]]";

/** Stands for sequence numbers that a stream does not have. */
const GAP = "(missing)";

const STREAM = "text/event-stream";

/** Runs the script against the server at `base`; returns each step's answer by its name. */
export async function play(base, headers = {}) {
  const answers = {};
  const ask = async (method, path, body) => {
    const response = await fetch(`${base}/responses${path}`, {
      method,
      headers: { ...(body && { "content-type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    const [type] = (response.headers.get("content-type") ?? "").split(";");
    const { status } = response;
    if (type === STREAM) return { status, type, events: eventsOf(text) };
    return { status, type, body: parse(text) };
  };
  const step = async (name, ...call) => {
    if (name in answers) throw new Error(`two steps have the name ${name}`);
    const answer = await ask(...call);
    answers[name] = answer;
    return answer;
  };
  const create = (name, input, fields) =>
    step(name, "POST", "", { model: "openclaw", input, ...fields });
  /** Looks until the response has ended, or has begun. */
  const look = async (id, isReached) => {
    for (let nth = 0; nth < LOOKS; nth += 1) {
      const { body } = await ask("GET", `/${id}`);
      if (isReached(body)) return;
      await sleep(LOOK_MS);
    }
    throw new Error(`the response ${id} does not get there`);
  };
  const ended = (id) => look(id, ({ status }) => status !== "in_progress" && status !== "queued");

  const plain = await create("a response that is not stored", QUICK, { store: false });
  await step("it is not there", "GET", `/${plain.body.id}`);

  const stored = await create("a stored response", QUICK, {
    store: true,
    metadata: { topic: "tests" },
  });
  const path = `/${stored.body.id}`;
  await step("it is found", "GET", path);
  await step("its input", "GET", `${path}/input_items`);
  await step("its stream", "GET", `${path}?stream=true`);
  await step("it is cancelled", "POST", `${path}/cancel`);
  await step("it is deleted", "DELETE", path);
  await step("it is gone", "GET", path);
  await step("its input is gone", "GET", `${path}/input_items`);
  await step("it is cancelled once gone", "POST", `${path}/cancel`);
  await step("it is deleted again", "DELETE", path);

  const items = [1, 2, 3].map((nth) => ({ role: "user", content: `${nth} ${QUICK}` }));
  const several = await create("a response to three messages", items, { store: true });
  const list = (query) => ["GET", `/${several.body.id}/input_items?${query}`];
  const all = await step("all items, the first one first", ...list("order=asc"));
  await step("two items", ...list("limit=2&order=asc"));
  await step("the items after the first", ...list(`order=asc&after=${all.body.data[0].id}`));
  await step("no items", ...list("limit=0"));
  await step("too many items", ...list("limit=101"));
  await step("items in another order", ...list("order=up"));

  const streamed = await create("a stored stream", QUICK, { store: true, stream: true });
  const idOf = ({ events }) => events[0].id;
  await step("a stored stream is found", "GET", `/${idOf(streamed)}`);
  await step("a stored stream again", "GET", `/${idOf(streamed)}?stream=true`);

  await create("in the background, not stored", QUICK, { background: true, store: false });
  const back = await create("in the background", SLOW, { background: true });
  const running = `/${back.body.id}`;
  await look(back.body.id, ({ status }) => status === "in_progress");
  await step("it is in progress", "GET", running);
  await step("its stream, without one", "GET", `${running}?stream=true`);
  await step("it is deleted in progress", "DELETE", running);
  await step("it is cancelled in progress", "POST", `${running}/cancel`);
  await step("it is cancelled again", "POST", `${running}/cancel`);
  await step("it was cancelled", "GET", running);
  await step("the cancelled one is deleted", "DELETE", running);

  const done = await create("in the background, to its end", QUICK, { background: true });
  await ended(done.body.id);
  await step("the one that ended is found", "GET", `/${done.body.id}`);
  await step("the one that ended is cancelled", "POST", `/${done.body.id}/cancel`);

  const live = await create("a stream in the background", QUICK, {
    background: true,
    stream: true,
  });
  const again = (query) => ["GET", `/${idOf(live)}?stream=true${query}`];
  const replayed = await step("its events again", ...again(""));
  const { last } = replayed.events.at(-1);
  await step("its events after the second", ...again("&starting_after=1"));
  await step("its events after the last", ...again(`&starting_after=${last}`));
  await step("its events after no number", ...again("&starting_after=x"));

  answers["a stream that is cancelled"] = await cancelledStream(base, headers);

  await step("an id that is none", "GET", "/nothing");
  await step("an unknown cancel", "POST", "/nothing/cancel");
  await create("after an unknown response", QUICK, { previous_response_id: "resp_nothing" });
  await create("no model's input", undefined, { store: true });
  return Object.fromEntries(
    Object.entries(answers).map(([name, answer]) => [name, comparable(answer)]),
  );
}

/** Cancels a stream in the background once it has words, and returns all of its events. */
async function cancelledStream(base, headers) {
  const response = await fetch(`${base}/responses`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: "openclaw", input: SLOW, background: true, stream: true }),
  });
  let text = "";
  let isCancelled = false;
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (isCancelled || !text.includes("event: response.output_text.delta\n")) continue;
    isCancelled = true;
    const [{ id }] = eventsOf(text.slice(0, text.lastIndexOf("\n\n")));
    await fetch(`${base}/responses/${id}/cancel`, { method: "POST", headers });
  }
  const events = eventsOf(text);
  // How far it came is chance.
  for (const event of events) {
    const { response } = event.fields ?? {};
    event.fields = response && { response: { status: response.status } };
  }
  return { status: response.status, type: STREAM, events };
}

const parse = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/**
 * Returns the events of a stream: pieces of one text are one event, because a server may send any
 * number of them. `last` is its last sequence number; a number that is missing is an event, too.
 */
function eventsOf(text) {
  const events = [];
  for (const block of text.split("\n\n")) {
    const data = block.match(/^data: (.*)$/m)?.[1];
    if (!data) continue;
    if (data === "[DONE]") {
      events.push({ type: data });
      continue;
    }
    const { type, sequence_number: number, ...rest } = JSON.parse(data);
    const previous = events.at(-1);
    if (previous && number !== previous.last + 1) events.push({ type: GAP });
    if (previous?.type === type && type.endsWith(".delta")) {
      previous.fields.delta += rest.delta;
      previous.last = number;
    } else {
      const id = rest.response?.id;
      events.push({ type, last: number, ...(id && { id }), fields: rest });
    }
  }
  return events;
}

/** Members whose values are times. */
const TIMES = /(^|_)at$/;

/** Returns an answer without what differs from run to run, as `{ path: value }`. */
function comparable({ status, type, events, body }) {
  const flat = { status, type };
  if (events) {
    flat.events = events.map(({ type }) => type).join(" ");
    for (const { type, fields } of events) if (fields) flatten(fields, type, flat);
  } else flatten(body, "body", flat);
  return flat;
}

function flatten(value, path, flat) {
  if (Array.isArray(value)) {
    if (value.length === 0) flat[path] = "[]";
    for (const [index, item] of value.entries()) flatten(item, `${path}[${index}]`, flat);
  } else if (value && typeof value === "object") {
    if (Object.keys(value).length === 0) flat[path] = "{}";
    for (const [name, member] of Object.entries(value)) flatten(member, `${path}.${name}`, flat);
  } else {
    const name = path.split(".").at(-1);
    flat[path] = plain(name, value);
  }
}

const plain = (name, value) => {
  if (TIMES.test(name) && Number.isFinite(value)) return "a time";
  if (typeof value !== "string") return value;
  return value.replaceAll(/\b(?:ca)?(resp|msg|item)_[\w-]{8,}/g, "$1_…");
};
