// Tests how the Worker reports what happens to a request at the gateway's HTTP endpoint.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { Asked } from "../src/runtime/endpoint.js";

const STREAM = { headers: { "content-type": "text/event-stream; charset=utf-8" } };

/**
 * Asks over a network with this `fetch`, after `stored` if it is a promise, and returns the request
 * and the events, as they come.
 */
function ask(fetch, headers = [], stored = undefined) {
  const events = [];
  const asked = new Asked({ fetch }, 10, (event) => events.push(event));
  asked.send("http://gateway", headers, new Uint8Array(2), stored);
  return { asked, events, before: events.length };
}

describe("requests at the gateway's endpoint", () => {
  test("a request waits for its row, unless that is lost or the request is stopped", async () => {
    for (const [stops, stores, expected] of [
      [false, true, [404]],
      [false, false, []],
      [true, true, []],
    ]) {
      let ends;
      const stored = new Promise((...both) => (ends = both));
      let requests = 0;
      const fetch = async () => {
        requests += 1;
        return new Response("no", { status: 404 });
      };
      const { asked, events } = ask(fetch, [], stored);
      await setImmediate();
      assert.equal(requests, 0);
      if (stops) asked.stop();
      ends[stores ? 0 : 1](new Error("full"));
      await setImmediate();
      assert.equal(requests, expected.length);
      assert.deepEqual(
        events.map(({ status }) => status),
        expected,
      );
    }
  });

  test("no event comes while the request is being made", async () => {
    const fail = () => {
      throw new Error("no");
    };
    for (const [fetch, headers] of [
      [fail, []],
      [fail, ["x", "a\nb"]],
    ]) {
      const { events, before } = ask(fetch, headers);
      assert.equal(before, 0);
      await setImmediate();
      assert.equal(events.length, 1);
      assert.match(events[0].error, /Error/);
    }
  });

  test("a stream has its bytes and its end, also if it breaks", async () => {
    for (const ends of [true, false]) {
      const body = new ReadableStream({
        pull(stream) {
          if (this.sent && ends) stream.close();
          else if (this.sent) stream.error(new Error("broken"));
          else stream.enqueue(new Uint8Array([7]));
          this.sent = true;
        },
      });
      const { events } = ask(async () => new Response(body, STREAM));
      await setImmediate();
      assert.deepEqual(events, [{ isStream: true }, { bytes: new Uint8Array([7]) }, {}]);
    }
  });

  test("a response without a body is an error", async () => {
    const { events } = ask(async () => new Response(null, STREAM));
    await setImmediate();
    assert.match(events[0].error, /null/);
  });

  test("another response is a refusal, with the beginning of its body", async () => {
    const headers = { "retry-after": "7", location: "/x" };
    const { events } = ask(async () => new Response("0123456789more", { status: 503, headers }));
    await setImmediate();
    const [{ body, ...refusal }] = events;
    assert.deepEqual(
      [refusal, new TextDecoder().decode(body)],
      [
        { status: 503, contentType: "text/plain;charset=UTF-8", location: "/x", retryAfter: 7 },
        "0123456789",
      ],
    );
  });

  test("nothing comes after a stop, and the last value of a header counts", async () => {
    let sent;
    const { asked, events } = ask(
      async (_, init) => {
        sent = init;
        await setImmediate();
        return new Response("x", STREAM);
      },
      ["x-a", "1", "X-A", "2"],
    );
    await Promise.resolve();
    asked.stop();
    await sleep(10);
    assert.deepEqual(events, []);
    assert.equal(sent.headers.get("x-a"), "2");
    assert.ok(sent.signal.aborted);
  });
});
