// Makes one call of a soak and returns how it ended, without a word of the request or the answer. A
// client whose answer was lost with the hub asks again, as SDKs do, and its end is the last one.

/**
 * @returns `{ end, wrong, isApart, isAgain, id }`: `end` is `answer`, `left`, an error's code, or a fault
 * that must never occur, in words; `wrong` is a mistake in a call whose end is allowed; `isApart`
 * is set on a second attempt that was received after the first one had ended, so that it may have
 * been another request; `isAgain` is set if its client asked again. `id` identifies the call in the
 * Worker's log.
 */
export async function make(call, { front, keys }) {
  const { client } = call;
  if (client === "twice")
    return worse(
      await Promise.all([ask(call, front, keys, keyed(call)), ask(call, front, keys, keyed(call))]),
    );
  if (client === "again")
    return worse([
      await ask(call, front, keys, keyed(call)),
      await ask(call, front, keys, keyed(call)),
    ]);
  if (client === "retries") {
    // Sent once the first one's response has begun: it is still under way, and known to the Worker.
    let began;
    const hasBegun = new Promise((resolve) => (began = resolve));
    let isOver = false;
    // If it is lost with the hub, the second is the one that asks again.
    const first = askOnce(call, front.url, keys, attempt(0), began).finally(() => {
      began();
      isOver = true;
    });
    // A run that has started is not tried again, as SDKs are instructed.
    if ((await hasBegun)?.headers.get("x-should-retry") === "false") return first;
    let isApart = false;
    const second = ask(call, front, keys, attempt(1), () => (isApart = isOver));
    const seen = await Promise.all([first, second]);
    return { ...worse(seen.filter((one) => one === seen[1] || !isLost(one))), isApart };
  }
  if (client === "reuses") {
    const first = await ask(call, front, keys, keyed(call));
    const second = await ask({ ...call, directive: "deltas=3" }, front, keys, keyed(call));
    // After a first one that started nothing, the key is free.
    if (first.end === "answer" && second.end !== "idempotency_key_reused")
      return { end: second.end, wrong: "the key's second use was not refused" };
    return first;
  }
  return ask(call, front, keys, {});
}

/** No call here has reason to take longer; one that does hangs. */
const LIMIT_MS = 100_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const keyed = ({ number }) => ({ "idempotency-key": `call-${number}` });
const ATTEMPT = "x-stainless-retry-count";
const attempt = (count) => ({ [ATTEMPT]: String(count) });
const worse = (seen) =>
  seen.find(({ wrong }) => wrong) ?? seen.find(({ end }) => end !== "answer") ?? seen[0];

/** How a client sees that the hub is gone. */
const LOST = [
  "hub_lost",
  "hub_unavailable",
  "a stream that stops within an event",
  "a stream without an end",
];
const isLost = ({ end }) => LOST.includes(end) || end.startsWith("connection: ");

/** Asks, and asks again while the answer is lost with the hub. */
async function ask(call, front, keys, headers, began) {
  const first = Number(headers[ATTEMPT] ?? 0);
  for (let count = first; ; count += 1) {
    const before = front.losses;
    const named = count > 0 ? { ...headers, ...attempt(count) } : headers;
    const seen = await askOnce(call, front.url, keys, named, began);
    const isExplained = before % 2 === 1 || front.losses > before;
    if (!isLost(seen) || !isExplained) return { ...seen, isAgain: count > first };
    await front.isBack;
  }
}

async function askOnce(call, url, keys, headers, began) {
  const { leaves, slow } = call.client;
  const controller = new AbortController();
  let why = "hung";
  const limit = setTimeout(() => controller.abort(), LIMIT_MS);
  const leaving =
    leaves === undefined
      ? undefined
      : setTimeout(() => {
          why = "left";
          controller.abort();
        }, leaves);
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${keys[call.key]}`,
        "content-type": "application/json",
        ...headers,
      },
      body: call.raw ?? JSON.stringify(body(call)),
      signal: controller.signal,
    });
    began?.(response);
    let text = "";
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (slow) await sleep(slow);
    }
    return { ...judge(call, response, text), id: response.headers.get("x-request-id") };
  } catch (error) {
    return {
      end: controller.signal.aborted ? why : `connection: ${error.cause?.code ?? error.message}`,
    };
  } finally {
    clearTimeout(limit);
    clearTimeout(leaving);
  }
}

const body = ({ number, directive, stream, body }) => ({
  model: "openclaw",
  stream,
  // Names the session, which identifies the gateway's runs.
  user: `call-${number}`,
  messages: [{ role: "user", content: `${number} [[fake ${directive}]]` }],
  ...body,
});

function judge(call, response, text) {
  const isStream = (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
  if (!isStream) {
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      return { end: `HTTP ${response.status}, and no object` };
    }
    if (answer.error)
      return { end: answer.error.code, wrong: answer.choices && "an error and an answer" };
    if (response.status !== 200) return { end: `HTTP ${response.status}` };
    const [choice] = answer.choices;
    return answered(call, choice.message.content ?? "", choice.finish_reason);
  }
  if (!text.endsWith("\n\n")) return { end: "a stream that stops within an event" };
  const events = text.split("\n").filter((line) => line.startsWith("data: "));
  if (events.pop() !== "data: [DONE]") return { end: "a stream without an end" };
  let told = "";
  const finishes = [];
  let failure;
  for (const event of events) {
    const chunk = JSON.parse(event.slice("data: ".length));
    if (failure) return { end: failure, wrong: "something after an error" };
    if (chunk.error) failure = chunk.error.code;
    for (const { delta, finish_reason } of chunk.choices ?? []) {
      told += delta.content ?? "";
      if (finish_reason) finishes.push(finish_reason);
    }
  }
  if (failure) {
    const beginning = call.text === undefined || call.text.startsWith(told);
    return {
      end: failure,
      wrong:
        finishes.length > 0
          ? "an error after a finish"
          : beginning
            ? undefined
            : "text that is not a beginning of the answer",
    };
  }
  if (finishes.length !== 1) return { end: `a stream with ${finishes.length} finishes` };
  return answered(call, told, finishes[0]);
}

function answered({ text, textEnds, finish }, told, reason) {
  if (text !== undefined && told !== text)
    return {
      end: "answer",
      wrong: `a text of ${told.length} characters instead of ${text.length}`,
    };
  if (textEnds && !told.includes(textEnds))
    return { end: "answer", wrong: "a text that lacks its end" };
  return { end: "answer", wrong: reason === finish ? undefined : `finish ${reason}` };
}
