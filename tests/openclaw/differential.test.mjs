// The same requests to the gateway's own `/v1/chat/completions` and to the Worker in front of it:
// same text, same finish reason, same usage. Every difference is in the table below, with its
// reason; one that is not there, or no longer is one, fails.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey, unframed } from "../support/front.mjs";
import { protocol, version } from "../support/openclaw.mjs";
import { PIXEL, spoken, words } from "../support/prompts.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";

const say = (content, fields = {}) => ({
  model: "openclaw/main",
  messages: [{ role: "user", content }],
  ...fields,
});

/** The requests, each streaming and whole. */
const REQUESTS = {
  "a plain answer": say("hi [[fake deltas=12 delay=10]]"),
  "an answer of one word": say("hi [[fake deltas=1]]"),
  "text of many scripts": say(
    spoken('Grüße, 世界! 👩‍🚀\n\n```js\nlet a = "b\\n";\n```\n\u2028end.', 5),
  ),
  "an answer cut at the model's limit": say("hi [[fake deltas=3 finish=length]]"),
  "a system prompt and a history": {
    model: "openclaw/main",
    messages: [
      { role: "system", content: "You are a zebra." },
      { role: "user", content: "q1" },
      { role: "assistant", content: "a1" },
      { role: "user", content: "q2 [[fake echo=1]]" },
    ],
  },
  "a developer's prompt, and content in parts": {
    model: "openclaw/main",
    messages: [
      { role: "developer", content: "You are a walrus." },
      {
        role: "user",
        content: [
          { type: "text", text: "part one," },
          { type: "text", text: "part two [[fake echo=1]]" },
        ],
      },
    ],
  },
  "a tool's result in the history": {
    model: "openclaw/main",
    messages: [
      { role: "user", content: "what time is it?" },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: "call_1", type: "function", function: { name: "clock", arguments: "{}" } },
        ],
      },
      { role: "tool", tool_call_id: "call_1", content: "noon" },
      { role: "user", content: "and now? [[fake echo=1]]" },
    ],
  },
  "an image": say([
    { type: "text", text: "what is this? [[fake echo=1]]" },
    { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
  ]),
  "an image of an earlier turn": {
    model: "openclaw/main",
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "what is this?" },
          { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
        ],
      },
      { role: "assistant", content: "a pixel" },
      { role: "user", content: "of which colour? [[fake echo=1]]" },
    ],
  },
  "a tool of the agent": say(
    'use it [[fake deltas=4 delay=10 tool=exec tooltext=1 args={"command":"echo hi"}]]',
  ),
  "an agent that thinks": say("think [[fake reasoning=3 deltas=3 delay=10]]", {
    model: "openclaw/beta",
  }),
  "an answer that is empty at first": say("hi [[fake empty=1 deltas=3]]"),
  "sampling parameters": say("hi [[fake deltas=2]]", {
    temperature: 0.1,
    top_p: 0.5,
    seed: 7,
    max_tokens: 500,
  }),
  "a user": say("hi [[fake deltas=2]]", { user: "anna" }),
  "a request that the provider rejects": say("hi [[fake error=400]]"),
  "a provider's error in mid-answer": say("hi [[fake deltas=6 streamerror=3]]"),
  "an agent that is not there": say("hi", { model: "openclaw/nobody" }),
  "no messages": { model: "openclaw/main", messages: [] },
  "two answers": say("hi [[fake deltas=2]]", { n: 2 }),
  "an image by its address": say([
    { type: "text", text: "what is this?" },
    { type: "image_url", image_url: { url: "https://example.com/a.png" } },
  ]),
};

const EVERY = Symbol("every request");
/** The difference depends on time: a machine that is busy makes a quick failure a slow one. */
const SOMETIMES = Symbol("sometimes");

/**
 * `[protocol, request, form, field, the value of the gateway's endpoint, the Worker's value,
 * reason]`; each must happen, and no other difference may.
 */
const DIFFERENCES = [
  [
    4,
    "an answer cut at the model's limit",
    "whole",
    "text",
    /^w0 w1 w2\n\n⚠️ Reply truncated/,
    words(3),
    "the gateway adds a notice to the text of whole answers only; `finish_reason` says it in both",
  ],
  [
    4,
    "a tool of the agent",
    "whole",
    "text",
    words(4),
    `Let me check.\n\n${words(4)}`,
    "the gateway's whole answer is the last item alone, its stream all of them; ours is the same in both",
  ],
  [
    4,
    "an image of an earlier turn",
    "both",
    "text",
    /User: what is this\?\\nAssistant.*"images":0/,
    /User: what is this\?\\n\[image-1\.png\]\\n.*"images":1/,
    "the client shows the image, so the agent sees it",
  ],
  [
    3,
    "an image of an earlier turn",
    "both",
    "text",
    /"images":0/,
    /\[image-1\.png\].*"images":1/,
    "as above",
  ],
  [
    4,
    "a provider's error in mid-answer",
    "whole",
    "status",
    500,
    400,
    "after a 5xx most clients run the agent again",
  ],
  [
    4,
    "a provider's error in mid-answer",
    "both",
    "error",
    "api_error",
    "invalid_request_error",
    "as above",
  ],
  [
    4,
    "a request that the provider rejects",
    "streamed",
    "status",
    200,
    400,
    "our stream's head waits for the first words, for up to 2 s, so a quick failure has its status",
    SOMETIMES,
  ],
  [
    4,
    "an agent that is not there",
    "both",
    "status",
    400,
    404,
    "OpenAI's status for it, which clients know; the same for an agent that is not the key's",
  ],
  [
    4,
    "two answers",
    "both",
    "status",
    200,
    400,
    "the gateway gives one answer to a request for two",
  ],
  [4, "two answers", "both", "error", undefined, "invalid_request_error", "as above"],
  [
    3,
    EVERY,
    "whole",
    "usage",
    { prompt_tokens: 0, completion_tokens: 0, total_tokens: "the sum" },
    isUsage,
    "2026.3 counts nothing at its endpoint; its protocol has the figures",
  ],
  [3, EVERY, "streamed", "usage", undefined, isUsage, "as above"],
  [3, EVERY, "streamed", "usageChunk", undefined, "[]", "as above"],
  [
    3,
    EVERY,
    "streamed",
    "finish",
    "",
    /^(stop|length)$/,
    "2026.3 ends a stream without a finish reason; it is in the run's final response",
  ],
  [3, "an answer cut at the model's limit", "whole", "finish", "stop", "length", "as above"],
  [
    3,
    "a tool's result in the history",
    "both",
    "text",
    /"user":"(?!.*tool_call)/,
    /Assistant: tool_call id=call_1 name=clock/,
    "the history is folded as 2026.9 folds it, with the calls and their results",
  ],
  [
    3,
    "a tool of the agent",
    "streamed",
    "text",
    `Let me check.${words(4)}`,
    `Let me check.\n\n${words(4)}`,
    "the gateway's stream runs its items together; its whole answer and ours do not",
  ],
  [
    3,
    "an answer that is empty at first",
    "streamed",
    "text",
    "",
    "No response from OpenClaw.",
    "the gateway says so in whole answers only",
  ],
  [
    3,
    "an answer that is empty at first",
    "streamed",
    "object",
    undefined,
    "chat.completion.chunk",
    "its stream has no chunk at all then",
  ],
  [
    3,
    "an answer that is empty at first",
    "streamed",
    "model",
    undefined,
    "openclaw/main",
    "as above",
  ],
  [
    3,
    "a request that the provider rejects",
    "both",
    "status",
    200,
    400,
    "the gateway shows the provider's error as an answer of the agent",
  ],
  [
    3,
    "a request that the provider rejects",
    "both",
    "error",
    undefined,
    "invalid_request_error",
    "as above; streamed it shows nothing",
  ],
  [3, "a provider's error in mid-answer", "whole", "status", 200, 400, "as above"],
  [
    3,
    "a provider's error in mid-answer",
    "both",
    "error",
    undefined,
    "invalid_request_error",
    "as above; streamed it looks like a finished answer",
  ],
  [
    3,
    "an agent that is not there",
    "both",
    "status",
    200,
    404,
    "the gateway runs an agent that does not exist",
  ],
  [
    3,
    "an agent that is not there",
    "both",
    "error",
    undefined,
    "invalid_request_error",
    "as above",
  ],
  [
    3,
    "two answers",
    "both",
    "status",
    200,
    400,
    "the gateway gives one answer to a request for two",
  ],
  [3, "two answers", "both", "error", undefined, "invalid_request_error", "as above"],
].filter(([spoken]) => spoken === protocol);

function isUsage(usage) {
  return (
    usage.prompt_tokens === "all calls" &&
    usage.total_tokens === "the sum" &&
    usage.completion_tokens !== 0 &&
    usage.prompt_tokens_details.cached_tokens > 0
  );
}

describe(`the gateway's own endpoint and ours, OpenClaw ${version}`, () => {
  const key = newKey("phone", "main,beta", "--default", "main");
  let front;
  before(async () => (front = await sharedFront({ entries: [key.entry] })));
  after(() => front?.stop());

  const gateway = (body) => ask(`${front.gateway.httpUrl}/v1/chat/completions`, front.token, body);
  const worker = (body) => ask(`${front.worker.url}/v1/chat/completions`, key.key, body);

  const met = new Set();
  for (const [name, request] of Object.entries(REQUESTS)) {
    for (const form of ["whole", "streamed"]) {
      test(`${name}, ${form}`, async () => {
        const body = {
          ...request,
          stream: form === "streamed",
          ...(form === "streamed" && { stream_options: { include_usage: true } }),
        };
        const theirs = await gateway(body);
        const ours = await worker(body);
        if (ours.ids !== undefined) assert.equal(ours.ids, 1);
        // A failure has nothing else in common with an answer, nor with a failure that came in
        // another form.
        const isComparable =
          !theirs.error === !ours.error && (!theirs.error || theirs.status === ours.status);
        const fields = isComparable ? COMPARED : ["status", "error"];
        for (const field of fields) {
          if (JSON.stringify(theirs[field]) === JSON.stringify(ours[field])) continue;
          const told = `${field}: the gateway says ${JSON.stringify(theirs[field])}, the Worker ${JSON.stringify(ours[field])}`;
          const known = DIFFERENCES.filter(
            ([, whose, when, what, one, other]) =>
              (whose === name || whose === EVERY) &&
              (when === form || when === "both") &&
              what === field &&
              matches(one, theirs[field]) &&
              matches(other, ours[field]),
          );
          assert.ok(known.length > 0, told);
          for (const difference of known) met.add(difference);
        }
      });
    }
  }

  test("every difference that is listed is one", () => {
    const gone = DIFFERENCES.filter(
      (difference) => !met.has(difference) && !difference.includes(SOMETIMES),
    );
    assert.deepEqual(
      gone.map((difference) => difference.slice(1, 4).map(String)),
      [],
    );
    console.log(
      `${Object.keys(REQUESTS).length} requests, whole and streamed: ${DIFFERENCES.length} differences, all listed`,
    );
  });

  /**
   * Returns one answer without the parts that must differ: ids, times, and prompt tokens, which
   * number the model's calls.
   */
  async function ask(url, token, body) {
    const before = front.provider.requests.length;
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const said = response.headers.get("content-type")?.startsWith("text/event-stream")
      ? streamed(await response.text())
      : whole(JSON.parse(await response.text()));
    const calls = front.provider.requests.slice(before).map((_, index) => 1_001 + before + index);
    return { status: response.status, ...said, usage: told(said.usage, calls, said.text) };
  }
});

const COMPARED = [
  "status",
  "error",
  "object",
  "model",
  "choices",
  "text",
  "finish",
  "usage",
  "usageChunk",
  "done",
];

function matches(expected, value) {
  if (expected instanceof RegExp) return expected.test(value);
  if (typeof expected === "function") return expected(value);
  return JSON.stringify(expected) === JSON.stringify(value);
}

function whole({ object, choices, usage, error, model }) {
  if (error) return failed(error);
  const [{ message, finish_reason }] = choices;
  return {
    object,
    choices: choices.length,
    model,
    text: readable(message.content),
    finish: finish_reason,
    usage,
  };
}

function streamed(bytes) {
  // Comments say that a busy gateway has not begun the run.
  const events = bytes
    .replace(/^:.*\n/gm, "")
    .split("\n\n")
    .filter((event) => event.startsWith("data: "));
  const chunks = events
    .filter((event) => event !== "data: [DONE]")
    .map((event) => JSON.parse(event.slice("data: ".length)));
  const failure = chunks.find(({ error }) => error);
  const choices = chunks.flatMap(({ choices }) => choices ?? []);
  return {
    object: chunks[0]?.object,
    model: chunks[0]?.model,
    ids: new Set(
      chunks.filter(({ id }) => id).map(({ id, created, model }) => `${id} ${created} ${model}`),
    ).size,
    text: readable(choices.map(({ delta }) => delta.content ?? "").join("")),
    finish: choices
      .map(({ finish_reason }) => finish_reason)
      .filter(Boolean)
      .join(),
    usage: chunks.find(({ usage }) => usage)?.usage,
    usageChunk: JSON.stringify(chunks.find(({ usage }) => usage)?.choices),
    done: events.at(-1) === "data: [DONE]",
    ...(failure && failed(failure.error)),
  };
}

/** The parts for programs; each side chooses its own words. */
const failed = ({ type }) => ({ error: type });

/**
 * Returns the messages that the model received, without the parts that identify the run: its
 * time, its session, and all of the gateway's own prompt.
 */
function readable(text) {
  if (!text.startsWith("ECHO ")) return text;
  const { user, images, system } = JSON.parse(text.slice("ECHO ".length));
  const [context] =
    system.match(/(?<=## (Conversation|Group Chat) Context\n)[\s\S]*?(?=\n##? |$)/) ?? [];
  // Ours stands in a frame, by intention.
  const words = context && (unframed(context) ?? context);
  return JSON.stringify({
    user: user.replace(/^\[\w{3} [\d-]+ [\d:]+ UTC\] /, "").replace(/\n+Runtime: [\s\S]*/, ""),
    images,
    context: words,
  });
}

/**
 * Returns whose usage it is: all of the model's calls, or the last. An echo is as long as the
 * prompt, which the gateway writes.
 */
function told(usage, calls, text) {
  if (!usage) return usage;
  const completion =
    text.startsWith("{") && usage.completion_tokens > 0 ? "an echo" : usage.completion_tokens;
  const sum = calls.reduce((total, tokens) => total + tokens, 0);
  const prompt =
    usage.prompt_tokens === sum
      ? "all calls"
      : usage.prompt_tokens === calls.at(-1)
        ? "the last call"
        : usage.prompt_tokens;
  return {
    ...usage,
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens:
      usage.total_tokens === usage.prompt_tokens + usage.completion_tokens
        ? "the sum"
        : usage.total_tokens,
  };
}
