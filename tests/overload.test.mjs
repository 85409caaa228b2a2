// More streams than one isolate takes: a clear error, and nothing else is harmed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { collect, lines, post, says, sdk, startFront, until } from "./support/front.mjs";

const MAX_STREAMS = 256;

const UNREAD = fileURLToPath(new URL("support/unread.py", import.meta.url));

/** A streamed request of which the status line has been read and nothing more. `rest` reads the body to the end. */
async function openUnread({ worker, phone }, body) {
  const child = spawn("python3", [UNREAD, `${worker.url}/v1/chat/completions`, phone.key, JSON.stringify(body)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const out = child.stdout.setEncoding("utf8")[Symbol.asyncIterator]();
  const status = (await out.next()).value;
  return {
    status,
    stop: () => child.kill(),
    rest: async () => {
      child.stdin.end("\n");
      let text = "";
      for (let part = await out.next(); !part.done; part = await out.next()) text += part.value;
      return text;
    },
  };
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
      const ended = () => new Set(lines(front.worker).flatMap(({ run, end }) => (end ? run : []))).size;
      await until("all have ended", () => ended() > MAX_STREAMS, 30_000);
      const seen = await collect(await sdk(front.worker, front.phone).chat.completions.create(says("hi [[fake deltas=2]]", { stream: true })));
      assert.equal(seen.text, "w0 w1");
    });

    test("a client that does not read is left with what was kept for it, and nobody else is harmed", async (t) => {
      const reading = collect(await sdk(front.worker, front.phone).chat.completions.create(says("hi [[fake deltas=60 delay=50]]", { stream: true })));
      // 24 or 6 MiB in JSON: the share and what the sockets between take, with room. Protocol 3 says all of it again in every frame.
      const bulk = protocol === 4 ? 64 : 16;
      const unread = await openUnread(front, says(`hi [[fake bulk=${bulk} delay=100]]`, { stream: true }));
      t.after(unread.stop);
      assert.equal(unread.status.trim(), "200");
      const line = await until("it is given up", () => lines(front.worker).find(({ end }) => end === "client_too_slow"), 60_000);
      assert.equal(line.status, 200);
      // Protocol 3 has no way to stop it.
      if (protocol === 4) await until("its run is stopped", async () => (await front.sim.journal()).runs.at(-1).ended === "aborted");
      assert.equal((await reading).text, Array.from({ length: 60 }, (_, index) => `w${index}`).join(" "));
      const events = (await unread.rest()).split("\n\n").filter((event) => event.startsWith("data: "));
      assert.equal(events.at(-1), "data: [DONE]");
      const data = events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)));
      assert.equal(data.at(-1).error.code, "client_too_slow");
      const said = data.slice(0, -1).map(({ choices }) => choices[0].delta.content ?? "");
      assert.ok(data.slice(0, -1).every(({ choices }) => choices[0].finish_reason === null));
      assert.match(said.join(""), /^\u0001+$/);
    });
  });
}
