// Clients that do not read, and more streams than one isolate takes: a clear error, and nothing else is harmed.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { collect, lines, post, says, sdk, startFront, until } from "./support/front.mjs";

const MAX_STREAMS = 256;

for (const protocol of [4, 3]) {
  describe(`overload, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());
    beforeEach(() => front.sim.reset());

    test("a client that does not read has its run stopped, and what it left unread ends in an error", { skip: protocol === 3 && "its frames hold the whole text so far, which are too many bytes here" }, async () => {
      // Every byte of it is six in JSON.
      const text = Buffer.alloc(2_000_000, 1).toString("base64url");
      const client = slowClient(front.worker, front.phone, says(`[[fake text=${text} delay=0]]`, { stream: true }));
      await until("the run is stopped", async () => (await front.sim.journal()).runs[0]?.ended === "aborted", 60_000);
      const line = await until("the line is there", () => lines(front.worker).find(({ end }) => end === "client_too_slow"));
      assert.equal(line.status, 200);
      const bytes = await client.rest();
      assert.ok(bytes.includes('"code":"client_too_slow"') && bytes.includes("data: [DONE]\n\n"));
      assert.ok(!bytes.includes('"finish_reason":"stop"'));
      await until("the socket is closed", async () => (await front.sim.journal()).open_connections === 0);
    });

    test("the stream after the last is refused before anything is started, and room is made by those that end", async () => {
      await until("nothing is left of others", async () => (await front.sim.journal()).open_connections === 0);
      const controller = new AbortController();
      const open = Array.from({ length: MAX_STREAMS }, () =>
        post(front.worker, front.phone, says("hi [[fake stall=1]]", { stream: true }), { signal: controller.signal }),
      );
      for (const response of await Promise.all(open)) assert.equal(response.status, 200);
      const refused = await post(front.worker, front.phone, says("hi"));
      assert.equal(refused.status, 503);
      assert.equal(refused.headers.get("retry-after"), "5");
      assert.equal((await refused.json()).error.code, "too_many_streams");
      const { runs, connections } = await front.sim.journal();
      assert.deepEqual([runs.length, connections], [MAX_STREAMS, MAX_STREAMS]);
      // A client that left is noticed by the next heartbeat at the latest.
      controller.abort();
      await front.sim.crash();
      await until("there is room", async () => (await post(front.worker, front.phone, says("hi [[fake deltas=1]]"))).status === 200, 30_000);
      const seen = await collect(await sdk(front.worker, front.phone).chat.completions.create(says("hi [[fake deltas=2]]", { stream: true })));
      assert.equal(seen.text, "w0 w1");
    });
  });
}

/** A client that sends its request and then reads nothing until it is asked for the rest. */
function slowClient(worker, { key }, body) {
  const bytes = Buffer.from(JSON.stringify(body));
  const socket = connect({ port: worker.port, host: "127.0.0.1" });
  socket.pause();
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${bytes.length}\r\n\r\n`);
  socket.write(bytes);
  return {
    async rest() {
      const chunks = [];
      for await (const chunk of socket) chunks.push(chunk);
      return Buffer.concat(chunks).toString("latin1");
    },
  };
}
