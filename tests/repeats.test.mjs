// Asking again is not asking for another run: by an Idempotency-Key, and by an SDK that tries again
// on its own.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  EACH_CONNECTS,
  eventsOf,
  post,
  says,
  sdk,
  startFront,
  textOf,
  until,
} from "./support/front.mjs";
import { words } from "./support/prompts.mjs";

/** So often a request's first connection is tried. */
const CONNECTION_ATTEMPTS = 4;

for (const protocol of [4, 3]) {
  describe(`repeats, protocol ${protocol}`, () => {
    let front;
    before(async () => (front = await startFront({ protocol, vars: EACH_CONNECTS })));
    after(() => front.stop());

    const keyed = (idempotencyKey, extra = {}) => ({
      headers: { "idempotency-key": idempotencyKey, ...extra },
    });
    const runs = async () => (await front.sim.journal()).runs.length;

    /** The text of an answer, streamed or whole. */
    async function heard(response) {
      assert.equal(response.status, 200, await response.clone().text());
      if (!response.headers.get("content-type").startsWith("text/event-stream"))
        return (await response.json()).choices[0].message.content;
      const events = eventsOf(await response.text());
      assert.ok(!events.some(({ error }) => error), JSON.stringify(events.at(-1)));
      return textOf(events);
    }

    for (const stream of [true, false]) {
      const form = stream ? "streamed" : "whole";

      test(`two requests at once under one key receive one run, ${form}`, async () => {
        await front.sim.reset();
        const ask = () =>
          post(
            front.worker,
            front.phone,
            says("hi [[fake deltas=12 delay=30]]", { stream }),
            keyed(`at-once-${form}`),
          );
        const answers = await Promise.all([ask(), ask()]);
        assert.deepEqual(await Promise.all(answers.map(heard)), [words(12), words(12)]);
        assert.equal(await runs(), 1);
      });

      test(`a request in the middle joins the run, ${form}`, async () => {
        await front.sim.reset();
        const ask = () =>
          post(
            front.worker,
            front.phone,
            says("hi [[fake deltas=30 delay=30]]", { stream }),
            keyed(`middle-${form}`),
          );
        const first = ask();
        await until("the run has begun", async () => (await runs()) === 1);
        const second = ask();
        assert.deepEqual(await Promise.all([heard(await first), heard(await second)]), [
          words(30),
          words(30),
        ]);
        assert.equal(await runs(), 1);
      });

      test(`a request after the end receives it again, ${form}`, async () => {
        await front.sim.reset();
        const ask = () =>
          post(
            front.worker,
            front.phone,
            says("hi [[fake deltas=5]]", { stream }),
            keyed(`after-${form}`),
          );
        assert.equal(await heard(await ask()), words(5));
        assert.equal(await heard(await ask()), words(5));
        assert.equal(await runs(), 1);
      });

      test(`an SDK's second attempt at a request whose answer it did not wait for joins the first one's run, ${form}`, async () => {
        await front.sim.reset();
        const body = says(`hi ${form} [[fake deltas=30 delay=30]]`, { stream });
        const first = unread(body, 0);
        await until("the run has begun", async () => (await runs()) === 1);
        const second = await post(front.worker, front.phone, body, {
          headers: { "x-stainless-retry-count": "1" },
        });
        assert.equal(await heard(second), words(30));
        assert.equal(await runs(), 1);
        await first;
        // The same words sent again by a person are another request.
        assert.equal(
          await heard(
            await post(front.worker, front.phone, body, {
              headers: { "x-stainless-retry-count": "0" },
            }),
          ),
          words(30),
        );
        assert.equal(await runs(), 2);
      });
    }

    /** Sends a request and does not wait for the response. The connection stays open. */
    const unread = (body, attempt) =>
      post(front.worker, front.phone, body, {
        headers: { "x-stainless-retry-count": String(attempt) },
      }).then((answer) => answer.text());

    test("a run with two clients goes on when one of them leaves", async () => {
      await front.sim.reset();
      const controller = new AbortController();
      const ask = (signal) =>
        post(front.worker, front.phone, says("hi [[fake deltas=40 delay=30]]", { stream: true }), {
          ...keyed("left"),
          signal,
        });
      const first = await ask(controller.signal);
      await first.body.getReader().read();
      const second = await ask();
      controller.abort();
      assert.equal(await heard(second), words(40));
      const { runs } = await front.sim.journal();
      assert.deepEqual(
        runs.map(({ ended, abortedBy }) => [ended, abortedBy]),
        [["ok", null]],
      );
    });

    test("a second attempt after a lost answer receives it again, and the same words sent again are another request", async () => {
      await front.sim.reset();
      const ask = (attempt) =>
        post(front.worker, front.phone, says("next [[fake deltas=2]]"), {
          headers: { "x-stainless-retry-count": String(attempt) },
        });
      for (const attempt of [0, 1, 2]) assert.equal(await heard(await ask(attempt)), words(2));
      assert.equal(await runs(), 1);
      assert.equal(await heard(await ask(0)), words(2));
      assert.equal(await runs(), 2);
    });

    test("a second attempt after a refusal does not get an earlier answer", async () => {
      await front.sim.reset();
      const ask = (attempt) =>
        post(front.worker, front.phone, says("again [[fake deltas=2]]"), {
          headers: { "x-stainless-retry-count": String(attempt) },
        });
      assert.equal(await heard(await ask(0)), words(2));
      await front.sim.fault("status-503", CONNECTION_ATTEMPTS);
      assert.equal((await ask(0)).status, 503);
      assert.equal(await heard(await ask(1)), words(2));
      assert.equal(await runs(), 2);
    });

    test("a second attempt of another user does not join: a header with a user or a conversation distinguishes them", async () => {
      for (const name of ["x-openwebui-user-id", "x-chat-id", "cf-connecting-ip"]) {
        await front.sim.reset();
        const ask = (who, attempt) =>
          post(front.worker, front.phone, says("hello [[fake deltas=2]]"), {
            headers: { [name]: who, "x-stainless-retry-count": String(attempt) },
          });
        assert.equal(await heard(await ask("192.0.2.1", 0)), words(2));
        assert.equal(await heard(await ask("192.0.2.2", 1)), words(2));
        assert.equal(await runs(), 2, name);
        assert.equal(await heard(await ask("192.0.2.1", 1)), words(2));
        assert.equal(await runs(), 2, name);
      }
    });

    test("of two responses to requests that look alike, one names the session", async () => {
      await front.sim.reset();
      const respond = async (body, attempt) => {
        const headers = {
          authorization: `Bearer ${front.phone.key}`,
          "content-type": "application/json",
          "x-stainless-retry-count": String(attempt),
        };
        const response = await fetch(`${front.worker.url}/v1/responses`, {
          method: "POST",
          headers,
          body: JSON.stringify({ model: "openclaw", ...body }),
        });
        return { status: response.status, body: await response.json() };
      };
      const hello = { input: "hello [[fake deltas=2]]" };
      const first = await respond(hello, 0);
      const second = await respond(hello, 1);
      assert.equal(second.body.output[0].content[0].text, words(2));
      assert.equal(await runs(), 1);
      assert.equal(
        (
          await respond(
            { input: "my PIN is 4711 [[fake deltas=1]]", previous_response_id: first.body.id },
            0,
          )
        ).status,
        200,
      );
      const other = await respond(
        { input: "what is my PIN? [[fake deltas=1]]", previous_response_id: second.body.id },
        0,
      );
      assert.deepEqual([other.status, other.body.error.param], [400, "previous_response_id"]);
      assert.equal(await runs(), 2);
    });

    if (protocol === 4) {
      test("a gateway that forgot a run in a crash does not start it again: its session has the answer, or none", async () => {
        const others = [await front.another(), await front.another()];
        try {
          await front.sim.reset();
          const ask = (worker, deltas, key, fields) =>
            post(
              worker,
              front.phone,
              says(`hi [[fake deltas=${deltas} delay=20]]`, fields),
              keyed(key),
            );
          for (const stream of [false, true]) {
            assert.equal(
              await heard(await ask(front.worker, 3, `outlives-${stream}`, { stream })),
              words(3),
            );
          }
          const cut = ask(front.worker, 500, "is-cut");
          await until("the third run has begun", async () => (await runs()) === 3);
          await front.sim.crash();
          assert.equal((await cut).status, 400);
          for (const stream of [false, true]) {
            assert.equal(
              await heard(await ask(others[0], 3, `outlives-${stream}`, { stream })),
              words(3),
            );
          }
          for (const other of others) {
            const response = await ask(other, 500, "is-cut");
            assert.deepEqual(
              [response.status, (await response.json()).error.code],
              [400, "run_interrupted"],
            );
            assert.equal(response.headers.get("x-should-retry"), "false");
          }
          assert.equal(await runs(), 3);
        } finally {
          for (const other of others) await other.stop();
        }
      });

      test("another hub refuses a key with another request where the client names the session", async () => {
        const other = await front.another();
        try {
          await front.sim.reset();
          const ask = (worker, content) =>
            post(worker, front.phone, says(content, { user: "anna" }), keyed("named"));
          assert.equal(await heard(await ask(front.worker, "hi [[fake deltas=2]]")), words(2));
          const response = await ask(other, "ho [[fake deltas=2]]");
          assert.deepEqual(
            [response.status, (await response.json()).error.code],
            [409, "idempotency_key_reused"],
          );
          assert.equal(await runs(), 1);
        } finally {
          await other.stop();
        }
      });
    }

    test("a key whose request started nothing may come with another", async () => {
      await front.sim.reset();
      await front.sim.fault("status-503", CONNECTION_ATTEMPTS);
      assert.equal(
        (await post(front.worker, front.phone, says("hi [[fake deltas=2]]"), keyed("nothing")))
          .status,
        503,
      );
      assert.equal(
        await heard(
          await post(front.worker, front.phone, says("ho [[fake deltas=2]]"), keyed("nothing")),
        ),
        words(2),
      );
    });

    test("a key that comes with another request is refused, and SDKs do not try again", async () => {
      await front.sim.reset();
      assert.equal(
        await heard(
          await post(front.worker, front.phone, says("hi [[fake deltas=2]]"), keyed("reused")),
        ),
        words(2),
      );
      const response = await post(
        front.worker,
        front.phone,
        says("ho [[fake deltas=2]]"),
        keyed("reused"),
      );
      assert.deepEqual(
        [response.status, (await response.json()).error.code],
        [409, "idempotency_key_reused"],
      );
      assert.equal(response.headers.get("x-should-retry"), "false");
      assert.equal(await runs(), 1);
    });

    test("another hub answers a key with the first one's result for the same body alone", async () => {
      const others = [await front.another(), await front.another()];
      try {
        await front.sim.reset();
        assert.equal(
          await heard(
            await post(front.worker, front.phone, says("hi [[fake deltas=2]]"), keyed("elsewhere")),
          ),
          words(2),
        );
        assert.equal(
          await heard(
            await post(others[0], front.phone, says("hi [[fake deltas=2]]"), keyed("elsewhere")),
          ),
          words(2),
        );
        assert.equal(await runs(), 1);
        assert.equal(
          await heard(
            await post(others[1], front.phone, says("ho [[fake deltas=3]]"), keyed("elsewhere")),
          ),
          words(3),
        );
        const { runs: both } = await front.sim.journal();
        assert.equal(new Set(both.map(({ sessionKey }) => sessionKey)).size, 2);
      } finally {
        for (const other of others) await other.stop();
      }
    });

    test("one Idempotency-Key of two clients, agents or sessions is two runs", async () => {
      await front.sim.reset();
      const body = says("hi [[fake deltas=2]]", { model: "openclaw/beta" });
      for (const [key, extra] of [
        [front.phone, {}],
        [front.guest, {}],
        [front.phone, { "x-openclaw-session-key": "trip" }],
      ]) {
        assert.equal(
          await heard(await post(front.worker, key, body, keyed("shared", extra))),
          words(2),
        );
      }
      assert.equal(await runs(), 3);
      const keys = (await front.sim.journal()).runs.map(({ runId }) => runId);
      assert.equal(new Set(keys).size, 3);
    });

    test("a failed run fails again for a repeated request, and is not run again", async () => {
      await front.sim.reset();
      const ask = () =>
        post(front.worker, front.phone, says("hi [[fake error=400]]"), keyed("failed"));
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
