// A scripted model provider: OpenAI-compatible, streaming, on loopback. The only part of an offline
// gateway that is not real. Prompts are held for the length of one request and never logged.

import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { readScript } from "./script.mjs";

/**
 * Starts the provider on 127.0.0.1. `requests` gains one record per model call, in order: `{model,
 * messages, deltas, finished, aborted}`: the number of messages in the call, the answer deltas sent
 * so far, whether the script ran to its end, whether the caller left before that. `onCall` is given
 * each call's messages, and the whole call: they are long, and not kept. `finish` ends all answers
 * that are being sent, each as an answer that is complete.
 */
export async function startProvider({ port = 0, onCall = () => {} } = {}) {
  const requests = [];
  const underWay = new Set();
  const callNumber = counter();
  const server = createServer((request, response) => {
    serve(request, response, { requests, underWay, onCall, callNumber }).catch(() =>
      response.destroy(),
    );
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address().port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    requests,
    finish: () => {
      for (const finish of underWay) finish();
    },
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const PATH = "/v1/chat/completions";
/** Images come inline: 20 MB of them as base64, and the prompt. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

// Usage is invented but exact, so that tests can check sums: the number of prompt tokens identifies
// the call.
const PROMPT_TOKENS_BASE = 1_000;
const CACHED_TOKENS = 100;

// A cut must lose the rest of the answer, not the part that was already sent.
const FLUSH_MS = 20;

async function serve(request, response, { requests, underWay, onCall, callNumber }) {
  if (request.method !== "POST" || request.url !== PATH)
    return refuse(response, 404, `only POST ${PATH} is served here`);
  let call, script;
  try {
    call = JSON.parse(await readBody(request));
    script = readScript(call.messages, callNumber);
  } catch (error) {
    return refuse(response, 400, error.message);
  }
  if (call.stream !== true) return refuse(response, 400, "only streaming calls are served here");

  const record = {
    model: call.model,
    messages: call.messages.length,
    deltas: 0,
    finished: false,
    aborted: false,
  };
  requests.push(record);
  onCall(call.messages, call);
  const stopped = new AbortController();
  const answer = new Answer(response, record, PROMPT_TOKENS_BASE + requests.length);
  const finish = () => {
    stopped.abort();
    if (!record.finished) answer.end("stop", record.deltas);
  };
  underWay.add(finish);
  response.on("close", () => {
    underWay.delete(finish);
    record.aborted = !record.finished;
    stopped.abort();
  });
  await play(script, answer, stopped.signal).catch((error) => {
    if (error.name !== "AbortError") throw error;
  });
}

/** Counts how often it was given the same text. */
function counter() {
  const counts = new Map();
  return (text) => {
    counts.set(text, (counts.get(text) ?? 0) + 1);
    return counts.get(text);
  };
}

/** Plays a script; rejects with an AbortError when it is stopped first. */
async function play(script, answer, signal) {
  const pause = () => sleep(script.delayMs, undefined, { signal });
  if (script.errorStatus) return answer.refuse(script.errorStatus);

  answer.begin();
  for (const thought of script.thoughts) {
    await pause();
    answer.think(thought);
  }
  for (const delta of script.deltas.slice(0, script.stopAfter)) {
    await pause();
    answer.say(delta);
  }
  switch (script.stop) {
    case "cut":
      await sleep(FLUSH_MS, undefined, { signal });
      return answer.cut();
    case "streamerror":
      return answer.fail("fake mid-stream failure");
    case "stall":
      return once(signal, "abort");
  }
  for (const [index, call] of script.toolCalls.entries()) answer.callTool(call, index);
  answer.end(script.finishReason, script.completionTokens);
}

/** One streamed chat completion. */
class Answer {
  constructor(response, record, promptTokens) {
    this.response = response;
    this.record = record;
    this.promptTokens = promptTokens;
    this.head = {
      id: `chatcmpl-fake-${promptTokens}`,
      object: "chat.completion.chunk",
      created: Math.floor(Date.now() / 1000),
      model: record.model,
    };
  }

  begin() {
    this.response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
    });
    this.delta({ role: "assistant", content: "" });
  }

  think(text) {
    this.delta({ reasoning_content: text });
  }

  say(text) {
    this.record.deltas += 1;
    this.delta({ content: text });
  }

  callTool({ name, argumentsJson }, index) {
    const id = `call_fake${this.promptTokens - PROMPT_TOKENS_BASE}_${index}`;
    this.delta({
      tool_calls: [{ index, id, type: "function", function: { name, arguments: argumentsJson } }],
    });
  }

  end(finishReason, completionTokens) {
    this.chunk({ choices: [{ index: 0, delta: {}, finish_reason: finishReason }] });
    this.chunk({
      choices: [],
      usage: {
        prompt_tokens: this.promptTokens,
        completion_tokens: completionTokens,
        total_tokens: this.promptTokens + completionTokens,
        prompt_tokens_details: { cached_tokens: CACHED_TOKENS },
      },
    });
    this.close();
  }

  fail(message) {
    // No `type`: naming one makes gateways class the failure and try again for over a minute.
    this.line(JSON.stringify({ error: { message } }));
    this.close();
  }

  refuse(status) {
    this.record.finished = true;
    refuse(this.response, status, `fake upstream failure ${status}`);
  }

  cut() {
    this.record.finished = true;
    this.response.destroy();
  }

  close() {
    this.line("[DONE]");
    this.record.finished = true;
    this.response.end();
  }

  delta(delta) {
    this.chunk({ choices: [{ index: 0, delta, finish_reason: null }] });
  }

  chunk(fields) {
    this.line(JSON.stringify({ ...this.head, ...fields }));
  }

  line(data) {
    this.response.write(`data: ${data}\n\n`);
  }
}

function refuse(response, status, message) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(
    JSON.stringify({
      error: { message, type: status < 500 ? "invalid_request_error" : "server_error", code: null },
    }),
  );
}

async function readBody(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new Error(`the body is larger than ${MAX_BODY_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
