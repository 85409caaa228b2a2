// Sends requests at the lowest cost that a client can have: over Node's own HTTP module, reading
// only the parts that a measurement needs.

import http from "node:http";

const AGENT = new http.Agent({ keepAlive: true, maxSockets: Infinity });

/** A request's body: one streamed turn. */
export const turn = (message) =>
  JSON.stringify({
    model: "openclaw",
    stream: true,
    messages: [{ role: "user", content: message }],
  });

/**
 * Sends a request and reads the answer to its end: `{ status, bytes, tail, firstMs, text }`.
 * `firstMs` is when the first delta with words came, counted from the sending, and `onFirst` is
 * called then; `text` is all of the body where `keep` asks for it, `tail` its end in any case.
 */
export function ask(asked) {
  const {
    url,
    key,
    path = "/v1/chat/completions",
    method = "POST",
    headers = {},
    body,
    keep = false,
    onFirst,
  } = asked;
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const request = http.request(url + path, {
      agent: AGENT,
      method,
      headers: {
        ...(key && { authorization: `Bearer ${key}` }),
        ...(body && {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
        }),
        ...headers,
      },
    });
    // The other end may close a kept connection at the moment it is used again. The request was not
    // received then.
    const failed = (error) =>
      request.reusedSocket && error.code === "ECONNRESET"
        ? ask(asked).then(resolve, reject)
        : reject(error);
    request.on("error", failed).on("response", (response) => {
      const kept = [];
      let bytes = 0;
      let firstMs;
      let last = Buffer.alloc(0);
      response.on("error", reject).on("data", (chunk) => {
        bytes += chunk.length;
        if (firstMs === undefined && chunk.includes('"content":"w')) {
          firstMs = performance.now() - startedMs;
          onFirst?.();
        }
        last =
          chunk.length >= TAIL_BYTES
            ? chunk.subarray(-TAIL_BYTES)
            : Buffer.concat([last, chunk]).subarray(-TAIL_BYTES);
        if (keep) kept.push(chunk);
      });
      response.on("end", () =>
        resolve({
          status: response.statusCode,
          bytes,
          firstMs,
          tail: last.toString("utf8"),
          text: keep ? Buffer.concat(kept).toString("utf8") : undefined,
        }),
      );
    });
    request.end(body);
  });
}

/** A stream that must end as it should: anything else makes the figures worthless. */
export async function stream(worker, message, { keep, onFirst } = {}) {
  const answer = await ask({
    url: worker.url,
    key: worker.key,
    headers: worker.headers,
    body: turn(message),
    keep,
    onFirst,
  });
  if (
    answer.status !== 200 ||
    !answer.tail.endsWith("data: [DONE]\n\n") ||
    answer.tail.includes('"error"')
  ) {
    throw new Error(
      `${worker.label}: HTTP ${answer.status}, ${answer.tail}\n${worker.log.slice(-5).join("\n")}`,
    );
  }
  return answer;
}

/** All words of a streamed completion. */
export function wordsOf(text) {
  const events = text.split("\n\n").filter((event) => event.startsWith("data: {"));
  return events
    .map((event) => JSON.parse(event.slice("data: ".length)).choices[0]?.delta.content ?? "")
    .join("");
}

/** Runs `work` for 0 … `count` − 1, `width` of them at a time. */
export async function inParallel(count, width, work) {
  let next = 0;
  const results = new Array(count);
  const one = async () => {
    for (let index = next++; index < count; index = next++) results[index] = await work(index);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, one));
  return results;
}

/** More than the last two events have. */
const TAIL_BYTES = 512;
