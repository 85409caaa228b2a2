// The Worker's streams through parsers that others wrote, in pieces as networks cut them: at every
// byte, within a line, within a character.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { createParser } from "eventsource-parser";
import { pythonAdapter, startClientFront } from "../support/clients.mjs";
import { post, says } from "../support/front.mjs";
import { spoken, words } from "../support/prompts.mjs";

/** Ways in which each stream is cut, by each parser. */
const TIMES = 200;
const TEXT = "Grüße, 世界! 👩‍🚀 data: [DONE]\n\nevent: x\r\nid: 1\u2028\u0000 end.";

const STREAMS = {
  "an answer": ["hi [[fake deltas=20]]", words(20)],
  "an answer whose text looks like a stream": [spoken(TEXT), TEXT],
  "a failure in mid-answer": ["hi [[fake deltas=6 streamerror=3]]", words(3)],
};

describe("server-sent events", () => {
  const python = pythonAdapter("sse_httpx");
  let front;
  before(async () => (front = await startClientFront()));
  after(async () => {
    await python.close();
    await front.stop();
  });

  for (const [name, [content, text]] of Object.entries(STREAMS)) {
    test(`${name}, however it is cut`, async () => {
      const response = await post(
        front.worker,
        front.phone,
        says(content, { stream: true, stream_options: { include_usage: true } }),
      );
      const bytes = Buffer.from(await response.arrayBuffer());
      // The comments that a silent stream also has, between any two of its events.
      const beating = Buffer.from(bytes.toString("utf8").replaceAll("\n\n", "\n\n: ping\n"));
      // Shown where a test fails, so that it can be repeated.
      const seed = randomInt(2 ** 31);
      for (const stream of [bytes, beating]) {
        const expected = stream
          .toString("utf8")
          .split("\n")
          .filter((line) => line.startsWith("data: "))
          .map((line) => line.slice("data: ".length));
        assert.equal(expected.at(-1), "[DONE]");
        assert.equal(textOf(expected), text);

        const [heard, ...others] = await python.call("decode", {
          stream: stream.toString("base64"),
          seed,
          times: TIMES,
        });
        assert.deepEqual(others, [], `seed ${seed}`);
        assert.deepEqual(
          heard,
          expected.map((data) => ["message", data, "", null]),
        );
        for (let time = 0; time < TIMES; time++)
          assert.deepEqual(parsed(stream, seed + time), expected, `seed ${seed + time}`);
      }
    });
  }
});

const textOf = (events) =>
  events
    .filter((data) => data !== "[DONE]")
    .map((data) => JSON.parse(data).choices?.[0]?.delta.content ?? "")
    .join("");

/** The events' data, by eventsource-parser. */
function parsed(bytes, seed) {
  const events = [];
  const parser = createParser({
    onEvent: ({ data }) => events.push(data),
    onError: (error) => assert.fail(error),
  });
  const decoder = new TextDecoder();
  const random = generator(seed);
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + (random() % 2 ** (random() % 9));
    parser.feed(decoder.decode(bytes.subarray(at, at + size), { stream: true }));
    at += size;
  }
  return events;
}

/** Numbers that a seed repeats (xorshift). */
function generator(seed) {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
