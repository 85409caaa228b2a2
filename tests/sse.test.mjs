// The streams of both endpoints, decoded by a parser that is not an SDK's, however their bytes come
// in pieces.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sdk, startFront } from "./support/front.mjs";
import { decode } from "./support/openapi.mjs";

const TEXT = "Grüße, 世界! 👩‍🚀\n\ndata: [DONE]\r\nevent: error\n".repeat(6);
const DIRECTIVE = `[[fake text=${Buffer.from(TEXT).toString("base64url")} tool=exec delay=1]]`;
const SPLITS = 200;

/** Returns the text in the events of either endpoint. */
const chat = (events) =>
  events
    .filter(({ data }) => data !== "[DONE]")
    .map(({ data }) => JSON.parse(data).choices[0].delta.content ?? "")
    .join("");
const responses = (events) =>
  events
    .filter(({ event }) => event === "response.output_text.delta")
    .map(({ data }) => JSON.parse(data).delta)
    .join("");

for (const protocol of [4, 3]) {
  describe(`server-sent events, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());

    for (const [path, body, said, last] of [
      [
        "chat/completions",
        { model: "openclaw", messages: [{ role: "user", content: DIRECTIVE }] },
        chat,
        ({ data }) => data === "[DONE]",
      ],
      [
        "responses",
        { model: "openclaw", input: DIRECTIVE },
        responses,
        ({ event }) => event === "response.completed",
      ],
    ]) {
      test(`${path} is the same in any pieces`, async () => {
        const response = await sdk(front.worker, front.phone)
          .post(`/${path}`, {
            body: { model: "openclaw", stream: true, ...body },
            headers: { "x-clawfront-progress": "on" },
          })
          .asResponse();
        const bytes = new Uint8Array(await response.arrayBuffer());
        const whole = decode([new TextDecoder("utf-8", { fatal: true }).decode(bytes)]);
        assert.ok(last(whole.at(-1)), "the last event");
        assert.ok(
          whole.every(({ data }) => data.length > 0),
          "a comment is not an event",
        );
        assert.ok(said(whole).trimEnd().endsWith(TEXT.trimEnd()), said(whole));
        for (let split = 0; split < SPLITS; split += 1)
          assert.deepEqual(decode(pieces(bytes)), whole);
        assert.deepEqual(decode(pieces(bytes, 1)), whole, "byte by byte");
      });
    }
  });
}

/** The bytes in pieces of a random length, decoded as they come. */
function pieces(bytes, most = 1 + Math.floor(Math.random() * 400)) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const texts = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + Math.floor(Math.random() * most);
    texts.push(decoder.decode(bytes.subarray(at, at + length), { stream: true }));
    at += length;
  }
  return texts;
}
