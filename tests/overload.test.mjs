// More streams than one isolate takes: a clear error, and nothing else is harmed.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { request } from "node:http";
import { collect, lines, post, says, sdk, startFront, until } from "./support/front.mjs";

const MAX_STREAMS = 256;

/** The response to a streamed request, of which nothing but the head is read. */
function openUnread({ worker, phone }, body) {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", headers: { authorization: `Bearer ${phone.key}`, "content-type": "application/json" } };
    const sent = request(`${worker.url}/v1/chat/completions`, options, (response) => resolve(response.pause()));
    sent.on("error", reject).end(JSON.stringify(body));
  });
}

for (const protocol of [4, 3]) {
  describe(`overload, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());
    beforeEach(() => front.sim.reset());

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

    test("a client that does not read is left with what was kept for it, and nobody else is harmed", async () => {
      const reading = collect(await sdk(front.worker, front.phone).chat.completions.create(says("hi [[fake deltas=60 delay=50]]", { stream: true })));
      // 12 MiB in JSON: more than the sockets between take without being read.
      const unread = await openUnread(front, says("hi [[fake bulk=32 delay=20]]", { stream: true }));
      const line = await until("it is given up", () => lines(front.worker).find(({ end }) => end === "client_too_slow"), 60_000);
      assert.equal(line.status, 200);
      // Protocol 3 has no way to stop it.
      if (protocol === 4) await until("its run is stopped", async () => (await front.sim.journal()).runs.at(-1).ended === "aborted");
      assert.equal((await reading).text, Array.from({ length: 60 }, (_, index) => `w${index}`).join(" "));
      unread.setEncoding("utf8");
      let body = "";
      for await (const part of unread) body += part;
      const events = body.split("\n\n").filter((event) => event.startsWith("data: "));
      assert.equal(events.at(-1), "data: [DONE]");
      const data = events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)));
      assert.equal(data.at(-1).error.code, "client_too_slow");
      const said = data.slice(0, -1).map(({ choices }) => choices[0].delta.content ?? "");
      assert.ok(data.slice(0, -1).every(({ choices }) => choices[0].finish_reason === null));
      assert.match(said.join(""), /^\u0001+$/);
    });
  });
}
