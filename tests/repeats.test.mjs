// Asking again is not asking for another run: by an Idempotency-Key, and by an SDK that tries again on its own.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { post, says, sdk, startFront, until } from "./support/front.mjs";

const words = (count) => Array.from({ length: count }, (_, index) => `w${index}`).join(" ");

/** So often a request's first connection is tried. */
const CONNECTION_ATTEMPTS = 4;

for (const protocol of [4, 3]) {
  describe(`repeats, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol })));
    after(() => front.stop());

    const keyed = (idempotencyKey, extra = {}) => ({ headers: { "idempotency-key": idempotencyKey, ...extra } });
    const runs = async () => (await front.sim.journal()).runs.length;

    /** The text of an answer, streamed or whole. */
    async function heard(response) {
      assert.equal(response.status, 200, await response.clone().text());
      if (!response.headers.get("content-type").startsWith("text/event-stream")) return (await response.json()).choices[0].message.content;
      const events = (await response.text()).split("\n\n").filter((event) => event.startsWith("data: {"));
      const chunks = events.map((event) => JSON.parse(event.slice("data: ".length)));
      assert.ok(!chunks.some(({ error }) => error), JSON.stringify(chunks.at(-1)));
      return chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    }

    for (const stream of [true, false]) {
      const form = stream ? "streamed" : "whole";

      test(`two that ask at once under one key hear one run, ${form}`, async () => {
        await front.sim.reset();
        const ask = () => post(front.worker, front.phone, says("hi [[fake deltas=12 delay=30]]", { stream }), keyed(`at-once-${form}`));
        const answers = await Promise.all([ask(), ask()]);
        assert.deepEqual(await Promise.all(answers.map(heard)), [words(12), words(12)]);
        assert.equal(await runs(), 1);
      });

      test(`who asks in the middle joins the run, ${form}`, async () => {
        await front.sim.reset();
        const ask = () => post(front.worker, front.phone, says("hi [[fake deltas=30 delay=30]]", { stream }), keyed(`middle-${form}`));
        const first = ask();
        await until("the run has begun", async () => (await runs()) === 1);
        const second = ask();
        assert.deepEqual(await Promise.all([heard(await first), heard(await second)]), [words(30), words(30)]);
        assert.equal(await runs(), 1);
      });

      test(`who asks after the end hears it again, ${form}`, async () => {
        await front.sim.reset();
        const ask = () => post(front.worker, front.phone, says("hi [[fake deltas=5]]", { stream }), keyed(`after-${form}`));
        assert.equal(await heard(await ask()), words(5));
        assert.equal(await heard(await ask()), words(5));
        assert.equal(await runs(), 1);
      });

      test(`an SDK's second attempt at a request whose answer it did not wait for joins the first one's run, ${form}`, async () => {
        await front.sim.reset();
        const body = says(`hi ${form} [[fake deltas=30 delay=30]]`, { stream });
        const first = unread(body, 0);
        await until("the run has begun", async () => (await runs()) === 1);
        const second = await post(front.worker, front.phone, body, { headers: { "x-stainless-retry-count": "1" } });
        assert.equal(await heard(second), words(30));
        assert.equal(await runs(), 1);
        await first;
        // The same words said again by a person are another request.
        assert.equal(await heard(await post(front.worker, front.phone, body, { headers: { "x-stainless-retry-count": "0" } })), words(30));
        assert.equal(await runs(), 2);
      });
    }

    /** Sends a request whose answer nobody waits for, over a connection that is still there. */
    const unread = (body, attempt) =>
      post(front.worker, front.phone, body, { headers: { "x-stainless-retry-count": String(attempt) } }).then((answer) => answer.text());

    test("a run that two hear goes on when one of them leaves", async () => {
      await front.sim.reset();
      const controller = new AbortController();
      const ask = (signal) => post(front.worker, front.phone, says("hi [[fake deltas=40 delay=30]]", { stream: true }), { ...keyed("left"), signal });
      const first = await ask(controller.signal);
      await first.body.getReader().read();
      const second = await ask();
      controller.abort();
      assert.equal(await heard(second), words(40));
      const { runs } = await front.sim.journal();
      assert.deepEqual(runs.map(({ ended, abortedBy }) => [ended, abortedBy]), [["ok", null]]);
    });

    test("a second attempt whose first one's answer got lost hears it again, and words said anew are another request", async () => {
      await front.sim.reset();
      const ask = (attempt) => post(front.worker, front.phone, says("next [[fake deltas=2]]"), { headers: { "x-stainless-retry-count": String(attempt) } });
      for (const attempt of [0, 1, 2]) assert.equal(await heard(await ask(attempt)), words(2));
      assert.equal(await runs(), 1);
      assert.equal(await heard(await ask(0)), words(2));
      assert.equal(await runs(), 2);
    });

    test("a second attempt at what was refused is not answered with what was heard before", async () => {
      await front.sim.reset();
      const ask = (attempt) => post(front.worker, front.phone, says("again [[fake deltas=2]]"), { headers: { "x-stainless-retry-count": String(attempt) } });
      assert.equal(await heard(await ask(0)), words(2));
      await front.sim.fault("status-503", CONNECTION_ATTEMPTS);
      assert.equal((await ask(0)).status, 503);
      assert.equal(await heard(await ask(1)), words(2));
      assert.equal(await runs(), 2);
    });

    test("a key whose request started nothing may come with another", async () => {
      await front.sim.reset();
      await front.sim.fault("status-503", CONNECTION_ATTEMPTS);
      assert.equal((await post(front.worker, front.phone, says("hi [[fake deltas=2]]"), keyed("nothing"))).status, 503);
      assert.equal(await heard(await post(front.worker, front.phone, says("ho [[fake deltas=2]]"), keyed("nothing"))), words(2));
    });

    test("a key that comes with another request is refused, and SDKs do not try again", async () => {
      await front.sim.reset();
      assert.equal(await heard(await post(front.worker, front.phone, says("hi [[fake deltas=2]]"), keyed("reused"))), words(2));
      const response = await post(front.worker, front.phone, says("ho [[fake deltas=2]]"), keyed("reused"));
      assert.deepEqual([response.status, (await response.json()).error.code], [409, "idempotency_key_reused"]);
      assert.equal(response.headers.get("x-should-retry"), "false");
      assert.equal(await runs(), 1);
    });

    test("one Idempotency-Key of two clients, agents or sessions is two runs", async () => {
      await front.sim.reset();
      const body = says("hi [[fake deltas=2]]", { model: "openclaw/beta" });
      for (const [key, extra] of [
        [front.phone, {}],
        [front.guest, {}],
        [front.phone, { "x-openclaw-session-key": "trip" }],
      ]) {
        assert.equal(await heard(await post(front.worker, key, body, keyed("shared", extra))), words(2));
      }
      assert.equal(await runs(), 3);
      const keys = (await front.sim.journal()).runs.map(({ runId }) => runId);
      assert.equal(new Set(keys).size, 3);
    });

    test("a failed run fails again for who asks again, and is not run again", async () => {
      await front.sim.reset();
      const ask = () => post(front.worker, front.phone, says("hi [[fake error=400]]"), keyed("failed"));
      const answers = [await ask(), await ask()];
      for (const answer of answers) assert.ok(answer.status >= 400, String(answer.status));
      assert.equal(await runs(), 1);
    });

    test("an SDK at its default settings starts one run, however the gateway begins", async () => {
      for (const fault of ["status-503", "startup", "close-before-challenge"]) {
        await front.sim.reset();
        await front.sim.fault(fault);
        const client = sdk(front.worker, front.phone, { maxRetries: 2 });
        const completion = await client.chat.completions.create(says(`${fault} [[fake deltas=3]]`));
        assert.equal(completion.choices[0].message.content, words(3));
        assert.equal(await runs(), 1, fault);
      }
    });
  });
}
