// More streams than one isolate takes: a clear error, and nothing else is harmed.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { collect, post, says, sdk, startFront, until } from "./support/front.mjs";

const MAX_STREAMS = 256;

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
  });
}
