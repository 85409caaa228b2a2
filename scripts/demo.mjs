// One streamed chat completion through the whole path, printed as it arrives.

import { Failure } from "./steps.mjs";

export const PROMPT = "Say hello to the person who just started you.";

/** Sends the request and hands each piece of the answer to `show`. Resolves to the whole answer. */
export async function streamAnswer({ url, key, show }) {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "openclaw",
      stream: true,
      messages: [{ role: "user", content: PROMPT }],
    }),
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
  if (!response.ok)
    throw new Failure(`the Worker answered ${response.status}: ${(await response.text()).trim()}`, {
      fix: MEND,
    });

  let answer = "";
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return answer;
    const { error, choices } = JSON.parse(data);
    if (error) throw new Failure(`the run failed: ${error.message}`, { fix: MEND });
    const piece = choices?.[0]?.delta?.content;
    if (piece) show(piece);
    answer += piece ?? "";
  }
  throw new Failure("the answer stopped before its end.", { fix: MEND });
}

/** A model may think before it answers; the Worker sends heartbeats meanwhile. */
const ANSWER_LIMIT_MS = 180_000;
const MEND =
  "check that the gateway runs and that GATEWAY_URL and its credential are right; the Worker's log is above.";

/**
 * The `data:` of each server-sent event. Enough of the format for our own Worker, which writes one
 * `data:` line an event.
 */
async function* events(body) {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice("data:".length).trim();
  }
}
