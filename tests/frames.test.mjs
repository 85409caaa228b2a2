// Which frames the Worker hands into WebAssembly. What follows from leaving out the others is tested where all recordings are: core/tests/exchange.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Frames } from "../src/frames.js";

// As `src/frames.rs` gives them.
const skim = readFileSync(new URL("../core/src/gateway/skim.rs", import.meta.url), "utf8");
const constant = (name) => skim.match(new RegExp(`pub const ${name}: &str = r#"(.*)"#;`))[1];
const [AGENT, CHAT] = [constant("AGENT"), constant("CHAT")];

const agent = (id, text = "w0", seq = 1) => `${AGENT}${id}","stream":"assistant","data":{"text":"${text}"}},"seq":${seq}}`;
const chat = (id) => `${CHAT}{"runId":"${id}","state":"delta"},"seq":2}`;

/** What is handed over of `frames`, read as WebAssembly reads it, and how many were skipped. */
function handed(frames, { needsChat = false, roomBytes = 1_024 } = {}) {
  const source = new Frames(CHAT, AGENT, "run-1");
  source.needsChat = needsChat;
  const texts = [];
  const take = source.filter(() => {
    const room = new Uint8Array(roomBytes);
    const bytes = source.write(room);
    texts.push(bytes < 0 ? bytes : new TextDecoder().decode(room.subarray(0, bytes)));
  });
  for (const data of frames) take({ data });
  return { texts, skipped: source.takeSkipped(), later: source.takeSkipped() };
}

describe("frames", () => {
  test("events of other runs and chat events are counted and left where they are", () => {
    const own = agent("run-1");
    const frames = [own, agent("run-2"), agent("run-10"), agent("run"), chat("run-1"), chat("run-2"), own];
    assert.deepEqual(handed(frames), { texts: [own, own], skipped: 5, later: 0 });
  });

  test("of many in a row one is handed over, for the case that nobody is there any more", () => {
    const others = Array.from({ length: 25 }, () => agent("run-2"));
    const source = new Frames(CHAT, AGENT, "run-1");
    source.needsChat = false;
    const skipped = [];
    const take = source.filter(() => skipped.push(source.takeSkipped()));
    for (const data of others) take({ data });
    assert.deepEqual([skipped, source.takeSkipped()], [[10, 10], 3]);
  });

  test("chat events are handed over while they are needed", () => {
    assert.deepEqual(handed([chat("run-1"), agent("run-2")], { needsChat: true }), { texts: [chat("run-1")], skipped: 1, later: 0 });
  });

  test("what is written in another way, and what is no event, is left to the parser", () => {
    const frames = [
      agent("run\\u002d1"),
      agent("run-1").replace('"type":"event","event":"agent"', '"event":"agent","type":"event"'),
      `{"type":"event","event":"chat", "payload":{}}`,
      '{"type":"res","id":"1","ok":true}',
      '{"type":"event","event":"tick","seq":3}',
      AGENT,
      "nonsense",
    ];
    assert.deepEqual(handed(frames), { texts: frames, skipped: 0, later: 0 });
  });

  test("a frame that does not fit tells how much room to try", () => {
    const ascii = agent("run-1", "x".repeat(100));
    const greek = agent("run-1", "ω".repeat(100));
    assert.deepEqual(handed([ascii], { roomBytes: 50 }).texts, [-ascii.length]);
    // Room for as many bytes as units was not enough.
    assert.deepEqual(handed([greek], { roomBytes: greek.length }).texts, [-3 * greek.length]);
    assert.deepEqual(handed([greek], { roomBytes: 3 * greek.length }).texts, [greek]);
  });

  test("binary messages are nothing of the protocol", () => {
    assert.deepEqual(handed([new ArrayBuffer(8), undefined]), { texts: [], skipped: 0, later: 0 });
  });
});
