// Scripts the model's answer to a prompt. The script is in the user's message, so that a test has
// it in one place: `[[fake deltas=30 delay=20]]`. README.md lists every word.

/**
 * Returns the script for one model call. `deltas` are the pieces of the answer; `stopAfter` is the
 * number of them that are sent before `stop` ("cut", "streamerror", "stall") happens. `callNumber`
 * counts the calls with these words, from 1; the text that gateways put around them may differ each
 * time. Throws on a directive it does not understand: a typo in a test must not look like an
 * answer.
 */
export function readScript(messages, callNumber) {
  const steps = readSteps(messages);
  if (steps) return steps;
  const { message, newest, tries, toolAnswered } = currentTurn(messages);
  const words = readDirective(newest);
  if (words === null) return script({ deltas: DEMO_ANSWER.split(/(?= )/), delayMs: DEMO_DELAY_MS });

  const delayMs = number(words.delay, DEFAULT_DELAY_MS);
  const plain = Array.from({ length: number(words.deltas, DEFAULT_DELTAS) }, (_, i) =>
    i === 0 ? "w0" : ` w${i}`,
  );

  if (words.tool && !toolAnswered) {
    return script({
      delayMs,
      deltas: words.tooltext ? ["Let", " me", " check", "."] : [],
      toolCalls: [{ name: words.tool, argumentsJson: words.args ?? "{}" }],
      finishReason: "tool_calls",
      completionTokens: plain.length,
    });
  }

  let deltas = plain;
  const empty = tries <= number(words.empty, 0);
  if (empty) deltas = [];
  if (words.text)
    deltas = pieces(Buffer.from(words.text, "base64url").toString("utf8"), TEXT_PIECE_CODE_POINTS);
  if (words.echo) {
    const system = textOf(
      messages.find((m) => m.role === "system" || m.role === "developer"),
    ).slice(-ECHOED_SYSTEM_CHARS);
    deltas = pieces(
      `ECHO ${untouchable({ user: textOf(message), images: countImages(message), system })}`,
      ECHO_PIECE_CODE_POINTS,
    );
  }
  const isOver =
    words.retry !== undefined && callNumber(JSON.stringify(words)) > number(words.retry, 0);
  const stop = isOver ? undefined : STOPS.find((word) => words[word] !== undefined);
  return script({
    delayMs,
    deltas,
    errorStatus: number(words.error, 0),
    thoughts: Array.from({ length: number(words.reasoning, 0) }, (_, i) =>
      i === 0 ? "think0" : ` think${i}`,
    ),
    stop,
    stopAfter: stop && number(words[stop], 0),
    finishReason: words.finish ?? "stop",
    // An empty answer is not a free one: models that return nothing have still spent tokens.
    completionTokens: empty ? plain.length : deltas.length,
  });
}

/**
 * Returns the present step of the first user message with `[[steps BASE64URL]]` (a gateway repeats
 * a sub-agent's task to its parent later): JSON, `[{text, tools: [{name, args}], delay}, …]`. Each
 * answer of the model since that message was one step; messages of the gateway in between are not.
 * After the last step it is repeated.
 */
function readSteps(messages) {
  const at = messages.findIndex((m) => m.role === "user" && STEPS.test(textOf(m)));
  if (at === -1) return undefined;
  const steps = JSON.parse(
    Buffer.from(textOf(messages[at]).match(STEPS)[1], "base64url").toString("utf8"),
  );
  const done = messages
    .slice(at + 1)
    .filter((m) => m.role === "assistant" && (m.tool_calls?.length > 0 || textOf(m) !== "")).length;
  const {
    text = "",
    tools = [],
    delay = DEFAULT_DELAY_MS,
  } = steps[Math.min(done, steps.length - 1)];
  return script({
    delayMs: delay,
    deltas: pieces(text, TEXT_PIECE_CODE_POINTS),
    toolCalls: tools.map(({ name, args = {} }) => ({ name, argumentsJson: JSON.stringify(args) })),
    finishReason: tools.length > 0 ? "tool_calls" : "stop",
  });
}

const STEPS = /\[\[steps ([\w-]+)\]\]/;

const DEFAULT_DELTAS = 5;
const DEFAULT_DELAY_MS = 5;
const DEMO_DELAY_MS = 25;
const TEXT_PIECE_CODE_POINTS = 7;
const ECHO_PIECE_CODE_POINTS = 200;
/** A caller's instructions are near the end, before up to 1.5 kB of the gateway's own text. */
const ECHOED_SYSTEM_CHARS = 6_000;

const STOPS = ["cut", "streamerror", "stall"];
const WORDS = new Set([
  "deltas",
  "delay",
  "error",
  "empty",
  "finish",
  "tool",
  "tooltext",
  "args",
  "reasoning",
  "text",
  "echo",
  "retry",
  ...STOPS,
]);

const DEMO_ANSWER =
  "Hello! This answer comes from a scripted model on your own machine, behind a real OpenClaw gateway. " +
  "Your request became an agent run there, and its text is coming back to you one word at a time. " +
  "Nothing has left this computer. Give the gateway a real model provider, and real answers take the same way.";

function script(fields) {
  const deltas = fields.deltas ?? [];
  return {
    delayMs: DEFAULT_DELAY_MS,
    errorStatus: 0,
    thoughts: [],
    stop: undefined,
    stopAfter: undefined,
    toolCalls: [],
    finishReason: "stop",
    completionTokens: deltas.length,
    ...fields,
    deltas,
  };
}

// How gateways wrap the user's message: 2026.9.6 adds user messages of its own, both paste a
// history in front of the newest one.
const INTERNAL_CONTEXT = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>";
const RETRY_REQUEST = "The previous attempt did not produce a user-visible answer.";
const CURRENT_MESSAGE = "[Current message - respond to this]";

/**
 * The last user message, its newest part, which try at an answer this is (from 1), and whether a
 * tool has answered since.
 */
function currentTurn(messages) {
  const isRetry = (m) => m.role === "user" && textOf(m).includes(RETRY_REQUEST);
  const at = messages.findLastIndex(
    (m) => m.role === "user" && !isRetry(m) && !textOf(m).startsWith(INTERNAL_CONTEXT),
  );
  const message = messages[at];
  const since = messages.slice(at + 1);
  return {
    message,
    newest: textOf(message).split(CURRENT_MESSAGE).at(-1),
    tries: 1 + since.filter(isRetry).length,
    toolAnswered: since.some((m) => m.role === "tool"),
  };
}

/**
 * JSON without the brackets gateways look for: they take `[[reply tags]]` and `<tags>` out of
 * answers, and blanks with them.
 */
function untouchable(value) {
  return JSON.stringify(value).replace(
    /[<[]/g,
    (bracket) => `\\u00${bracket.charCodeAt(0).toString(16)}`,
  );
}

function countImages(message) {
  return Array.isArray(message?.content)
    ? message.content.filter((part) => part.type === "image_url").length
    : 0;
}

function textOf(message) {
  const content = message?.content ?? "";
  if (typeof content === "string") return content;
  return content
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("\n");
}

/**
 * The words of the last `[[fake …]]` in `text`, or null. `args` is JSON, may hold blanks and
 * brackets, and comes last.
 */
function readDirective(text) {
  const start = text.lastIndexOf("[[fake");
  if (start === -1) return null;
  const rest = text.slice(start + "[[fake".length);
  for (let end = rest.indexOf("]]"); end !== -1; end = rest.indexOf("]]", end + 1)) {
    const [plain, args] = rest.slice(0, end).split(/ args=(.*)/s);
    if (args === undefined || isJson(args)) return toWords(plain, args);
  }
  throw new Error("a [[fake …]] directive is not closed, or its args are not JSON");
}

function toWords(plain, args) {
  const words = Object.fromEntries(
    plain
      .split(/\s+/)
      .filter(Boolean)
      .map((word) => word.split(/=(.*)/s)),
  );
  if (args !== undefined) words.args = args;
  for (const word of Object.keys(words)) {
    if (!WORDS.has(word)) throw new Error(`a [[fake …]] directive has an unknown word: ${word}`);
  }
  return words;
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function number(word, otherwise) {
  if (word === undefined) return otherwise;
  const value = Number(word);
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`a [[fake …]] directive has a bad number: ${word}`);
  return value;
}

/** Splits between code points, never inside one. */
function pieces(text, length) {
  const points = [...text];
  return Array.from({ length: Math.ceil(points.length / length) }, (_, i) =>
    points.slice(i * length, (i + 1) * length).join(""),
  );
}
