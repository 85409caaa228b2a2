// Tests which frames the Worker passes into WebAssembly. The effect of leaving out the others is
// tested with the recordings, in core/tests/exchange.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Frames } from "../src/runtime/frames.js";

// As `src/runtime/frames.rs` gives them.
const peek = readFileSync(new URL("../core/src/gateway/peek.rs", import.meta.url), "utf8");
const constant = (name) => peek.match(new RegExp(`pub const ${name}: &str = r#"(.*)"#;`))[1];
const [AGENT, CHAT] = [constant("AGENT"), constant("CHAT")];

const agent = (id, text = "w0", seq = 1) =>
  `${AGENT}${id}","stream":"assistant","data":{"text":"${text}"}},"seq":${seq}}`;
const chat = (id) => `${CHAT}${id}","state":"delta"},"seq":2}`;

/**
 * Returns the frames that are passed on, read as WebAssembly reads them, and the number of
 * skipped ones.
 */
function handed(frames, { agents = ['run-1"'], chats = [], roomBytes = 1_024 } = {}) {
  const source = new Frames(CHAT, AGENT);
  source.select(agents, chats);
  const texts = [];
  // biome-ignore lint/suspicious/useIterableCallbackReturn: `filter` is that of Frames, not an array's.
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
    const frames = [
      own,
      agent("run-2"),
      agent("run-10"),
      agent("run"),
      chat("run-1"),
      chat("run-2"),
      own,
    ];
    assert.deepEqual(handed(frames), { texts: [own, own], skipped: 5, later: 0 });
  });

  test("of many in a row one is passed on, so that a dead instance is noticed", () => {
    const others = Array.from({ length: 25 }, () => agent("run-2"));
    const source = new Frames(CHAT, AGENT);
    source.select(['run-1"'], []);
    const skipped = [];
    const take = source.filter(() => skipped.push(source.takeSkipped()));
    for (const data of others) take({ data });
    assert.deepEqual([skipped, source.takeSkipped()], [[10, 10], 3]);
  });

  test("chat events are handed over while they are needed", () => {
    const frames = [chat("run-1"), chat("run-2"), agent("run-3"), agent("run-2")];
    const agents = ['run-1"', 'run-2"'];
    assert.deepEqual(handed(frames, { agents, chats: ['run-1"'] }), {
      texts: [chat("run-1"), agent("run-2")],
      skipped: 2,
      later: 0,
    });
  });

  test("a run of which only the beginning of its id is known has its events handed over", () => {
    const frames = [
      agent("announce:v1:a"),
      agent("announced"),
      agent("run-1"),
      chat("announce:v1:a"),
    ];
    assert.deepEqual(handed(frames, { agents: ["announce:"] }), {
      texts: [agent("announce:v1:a"), chat("announce:v1:a")],
      skipped: 2,
      later: 0,
    });
  });

  test("without any run no event is handed over", () => {
    assert.deepEqual(handed([agent("run-1"), chat("run-1")], { agents: [] }), {
      texts: [],
      skipped: 2,
      later: 0,
    });
  });

  test("an event in another notation, and a frame that is not an event, is left to the parser", () => {
    const frames = [
      agent("run\\u002d1"),
      agent("run-1").replace('"type":"event","event":"agent"', '"event":"agent","type":"event"'),
      `{"type":"event","event":"chat", "payload":{}}`,
      `{"type":"event","event":"chat","payload":{"state":"delta","runId":"run-2"}}`,
      CHAT,
      '{"type":"res","id":"1","ok":true}',
      '{"type":"event","event":"tick","seq":3}',
      AGENT,
      "nonsense",
    ];
    assert.deepEqual(handed(frames), { texts: frames, skipped: 0, later: 0 });
  });

  test("a frame that does not fit returns the room to try", () => {
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
