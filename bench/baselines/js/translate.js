// Does the job of the Worker in JavaScript, written for speed: the runtime's own JSON, one key hash
// per request, one string and one `enqueue` per delta, nothing asynchronous per frame. It leaves
// out limits, sessions, retractions and losses, which the Worker has.

import { begin } from "./gateway.js";

const PING = ": ping\n\n";
const PING_INTERVAL_MS = 15_000;
const encoder = new TextEncoder();

let keys;
/** Once per isolate: hash of a key to its id. */
const readKeys = (env) =>
  new Map(
    env.CLIENT_KEYS.split("\n").map((line) => [
      line.match(/sha256:([0-9a-f]{64})/)[1],
      line.split(" ", 1)[0],
    ]),
  );

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/healthz") return new Response("ok");
    if (pathname !== "/v1/chat/completions") return failure(404, "unknown_url");
    const key = request.headers.get("authorization")?.match(/^Bearer (.+)$/)?.[1] ?? "";
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(key))).toHex();
    keys ??= readKeys(env);
    if (!keys.has(hash)) return failure(401, "invalid_api_key");
    const { model, messages } = await request.json();

    const id = `chatcmpl-${crypto.randomUUID()}`;
    const head = `data: {"id":"${id}","object":"chat.completion.chunk","created":${Math.floor(Date.now() / 1_000)},"model":${JSON.stringify(model)},"choices":[{"index":0,"delta":`;
    let run;
    let controller;
    let ping;
    let over = false;
    const write = (text) => controller.enqueue(encoder.encode(text));
    const end = (text) => {
      if (over) return;
      over = true;
      clearInterval(ping);
      write(text);
      controller.close();
      run?.socket.close();
    };
    const onFrame = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.event === "agent") {
        const { runId, stream, data } = frame.payload;
        if (runId === run.runId && stream === "assistant" && data.delta)
          write(`${head}{"content":${JSON.stringify(data.delta)}},"finish_reason":null}]}\n\n`);
      } else if (frame.type === "res" && frame.id === "agent") {
        const isOk = frame.ok && frame.payload.status === "ok";
        end(isOk ? `${head}{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n` : FAILED);
      }
    };
    run = await begin(env, messages.at(-1).content, onFrame, () => end(FAILED));
    const body = new ReadableStream({
      start(given) {
        controller = given;
        write(`${head}{"role":"assistant","content":""},"finish_reason":null}]}\n\n`);
        ping = setInterval(() => write(PING), PING_INTERVAL_MS);
      },
      cancel() {
        over = true;
        clearInterval(ping);
        run.socket.send(
          JSON.stringify({
            type: "req",
            id: "abort",
            method: "chat.abort",
            params: { sessionKey: run.sessionKey, runId: run.runId },
          }),
        );
        run.socket.close();
      },
    });
    return new Response(body, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
    });
  },
};

const FAILED =
  'data: {"error":{"message":"The run failed.","type":"api_error","param":null,"code":"run_failed"}}\n\ndata: [DONE]\n\n';

function failure(status, code) {
  return Response.json(
    { error: { message: code, type: "invalid_request_error", param: null, code } },
    { status },
  );
}
