// Tests what is left of the hub when its object is gone without notice, as after a kill of the
// runtime, a deploy or a move: no run goes on without its client, unless its key wants that, none
// is started twice, and each is counted once.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { lines, newKey, post, says, until } from "./support/front.mjs";
import { get } from "./support/keys.mjs";
import { withKillable } from "./support/killable.mjs";

/** A run without a client is stopped after 30 to 60 s; a busy machine takes its time. */
const STOPPED_MS = 100_000;

/** Time within which a hub with a run that may be going is woken. */
const ALARM_MS = 30_000;

/** An attempt of an SDK that retries on its own. */
const attempt = (number) => ({ "x-stainless-retry-count": String(number) });

const ask = (worker, key, content, headers = {}) =>
  post(worker, key, says(content, { stream: true }), { headers });

const status = async (worker, key) => (await get(worker, key, "/v1/key")).json();

/** Reads an answer to its end, and returns its text; a broken one counts as empty. */
const read = async (response) => response.text().catch(() => "");

const ANSWERED = /"finish_reason":"stop".*data: \[DONE\]\n\n$/s;

/** The number of words in a streamed answer, which counts them. */
const wordsIn = (text) => text.match(/w\d+/g) ?? [];

// Most of their time is spent waiting.
describe("a hub that is gone", { concurrency: true }, () => {
  test(
    "and that no request wakes: its run is stopped, and counted",
    withKillable({}, async ({ worker, phone, ends, kill }) => {
      const response = await ask(worker, phone, "left [[fake stall=1]]");
      const again = await kill(worker, { meanwhile: () => read(response) });
      assert.deepEqual(await ends(), ["running"]);
      await until("it is stopped", async () => (await ends())[0] === "aborted", STOPPED_MS);
      await until("its line is written", () => lines(again).some(({ run }) => run));
      const { usage_today, concurrent_runs } = await status(again, phone);
      assert.deepEqual([usage_today.runs, usage_today.stopped, concurrent_runs.running], [1, 1, 0]);
    }),
  );

  test(
    "and whose next one has wrong settings: the one after it stops the run",
    withKillable({}, async ({ worker, phone, ends, kill }) => {
      const response = await ask(worker, phone, "left [[fake stall=1]]");
      const wrong = await kill(worker, {
        vars: { CLIENT_KEYS: "wrong" },
        meanwhile: () => read(response),
      });
      // Its alarm comes, and finds no settings.
      await setTimeout(ALARM_MS + 5_000);
      await kill(wrong);
      assert.deepEqual(await ends(), ["running"]);
      await until("it is stopped", async () => (await ends())[0] === "aborted", STOPPED_MS);
    }),
  );

  const finisher = newKey("finisher", "main", "--on-disconnect", "finish");
  test(
    "stops the runs whose clients do not come back, and keeps those that they ask for again",
    withKillable({ entries: [finisher.entry] }, async ({ worker, phone, runs, ends, kill }) => {
      const named = { "idempotency-key": "order-1" };
      const joined = "joined [[fake deltas=1600 delay=50]]";
      const first = [
        await ask(worker, phone, "left [[fake stall=1]]"),
        await ask(worker, finisher, "finishes [[fake stall=1]]"),
        await ask(worker, phone, joined, named),
      ];
      assert.deepEqual(
        first.map(({ status }) => status),
        [200, 200, 200],
      );
      await until("all have begun", async () => (await runs()).length === 3);
      const again = await kill(worker, { meanwhile: () => Promise.all(first.map(read)) });
      const second = await ask(again, phone, joined, named);
      assert.equal(second.status, 200);
      const other = await ask(again, phone, "another body", named);
      assert.equal(other.status, 409);
      assert.match(await other.text(), /idempotency_key_reused/);
      await until("the one is stopped", async () => (await ends())[0] === "aborted", STOPPED_MS);
      assert.deepEqual(await ends(), ["aborted", "running", "running"]);
      const lineOf = (run) => lines(again).find((line) => line.run === run);
      const [{ runId }] = await runs();
      const line = await until("its line is written", () => lineOf(runId));
      assert.deepEqual(
        [line.end, line.key, line.request_id],
        ["client_closed_request", "phone", undefined],
      );
      assert.equal((await status(again, finisher)).concurrent_runs.running, 1);
      assert.match(await second.text(), ANSWERED);
      assert.equal((await runs()).length, 3, "no run was started twice");
    }),
  );

  for (const protocol of [4, 3]) {
    test(
      `knows an SDK's retry, and no other request, protocol ${protocol}`,
      withKillable({ protocol }, async ({ worker, phone, guest, boss, runs, kill }) => {
        const content = "retried [[fake deltas=80 delay=50]]";
        const response = await ask(worker, phone, content, attempt(0));
        const again = await kill(worker, { meanwhile: () => read(response) });
        // Twice: also the object that knows the run from its row is reset.
        const last = await kill(again, { meanwhile: () => status(again, phone).catch(() => {}) });
        const answers = await Promise.all([
          ask(last, phone, content, attempt(1)),
          ask(last, phone, content, attempt(0)),
          ask(last, guest, content, attempt(1)),
        ]);
        for (const text of await Promise.all(answers.map(read))) {
          assert.match(text, ANSWERED);
          assert.equal(wordsIn(text).length, 80);
        }
        const started = await runs();
        assert.deepEqual(started.map(({ agentId, ended }) => [agentId, ended]).toSorted(), [
          ["beta", "ok"],
          ["main", "ok"],
          ["main", "ok"],
        ]);
        // The first run, which is shared, and the one of the first attempt.
        const { usage_today } = await until("both are counted", async () => {
          const now = await status(last, phone);
          return now.concurrent_runs.running === 0 && now;
        });
        const { run_ms, ...counts } = usage_today;
        assert.ok(run_ms > 2 * 4000);
        assert.deepEqual(counts, {
          requests: 3,
          runs: 2,
          answers: 2,
          stopped: 0,
          provider_failures: 0,
          other_failures: 0,
          input_tokens: 2002,
          cached_tokens: 200,
          output_tokens: 160,
        });
        assert.equal((await status(last, boss)).usage_today.runs, 0);
      }),
    );

    test(
      `knows a retry of an answer that got lost, and counts its run once, protocol ${protocol}`,
      withKillable({ protocol }, async ({ worker, phone, runs, kill }) => {
        const content = "lost [[fake deltas=3]]";
        const first = await read(await ask(worker, phone, content, attempt(0)));
        assert.match(first, ANSWERED);
        const { usage_today } = await status(worker, phone);
        // The end and the count are stored together, at once.
        const again = await kill(worker);
        const second = await read(await ask(again, phone, content, attempt(1)));
        assert.deepEqual(wordsIn(second), wordsIn(first));
        assert.equal((await runs()).length, 1);
        assert.deepEqual((await status(again, phone)).usage_today, {
          ...usage_today,
          requests: 2,
        });
        // The words as a first attempt are another request.
        await read(await ask(again, phone, content, attempt(0)));
        assert.equal((await runs()).length, 2);
      }),
    );

    test(
      `follows a run that goes on without its client, protocol ${protocol}`,
      withKillable({ protocol, entries: [finisher.entry] }, async ({ worker, sim, ends, kill }) => {
        const response = await ask(worker, finisher, "finishes [[fake deltas=60 delay=50]]");
        const again = await kill(worker, { meanwhile: () => read(response) });
        const before = await status(again, finisher);
        assert.deepEqual([before.concurrent_runs.running, before.usage_today.runs], [1, 0]);
        // The connection is lost, too.
        await until("it is connected", async () =>
          (await sim.journal()).frames.some(({ params }) => params?.agentId === "clawfront-nobody"),
        );
        await sim.drop();
        const { usage_today } = await until("it has ended", async () => {
          const now = await status(again, finisher);
          return now.concurrent_runs.running === 0 && now;
        });
        const { runs, answers, input_tokens, output_tokens } = usage_today;
        assert.deepEqual([runs, answers, input_tokens, output_tokens], [1, 1, 1001, 60]);
        assert.deepEqual(await ends(), ["ok"]);
      }),
    );
  }

  test(
    "gives up a run that a gateway has forgotten, and starts none for its retry",
    withKillable({}, async ({ worker, phone, sim, runs, kill }) => {
      const content = "forgotten [[fake stall=1]]";
      const response = await ask(worker, phone, content, attempt(0));
      const meanwhile = async () => {
        await read(response);
        await sim.crash();
      };
      const again = await kill(worker, { meanwhile });
      const retry = await ask(again, phone, content, attempt(1));
      assert.match(await retry.text(), /run_interrupted/);
      const line = await until("its line is written", () =>
        lines(again).find(({ run, request_id }) => run && !request_id),
      );
      assert.equal(line.end, "gateway_connection_lost");
      assert.equal((await runs()).length, 1);
      const { usage_today, concurrent_runs } = await status(again, phone);
      assert.deepEqual(
        [usage_today.runs, usage_today.other_failures, concurrent_runs.running],
        [1, 1, 0],
      );
    }),
  );

  const single = newKey("single", "main", "--runs", "1");
  test(
    "keeps the place of a run, lets its retry in, and stops it with its key",
    withKillable({ entries: [single.entry] }, async ({ worker, phone, ends, runs, kill }) => {
      const content = "single [[fake stall=1]]";
      const response = await ask(worker, single, content, attempt(0));
      const again = await kill(worker, { meanwhile: () => read(response) });
      const other = await ask(again, single, "another");
      assert.equal(other.status, 429);
      assert.match(await other.text(), /concurrent_runs_exceeded/);
      const retry = await ask(again, single, content, attempt(1));
      assert.equal(retry.status, 200);
      assert.equal((await runs()).length, 1);
      // The next one does not know the key.
      await kill(again, { vars: { CLIENT_KEYS: phone.entry }, meanwhile: () => read(retry) }).then(
        (last) => status(last, phone),
      );
      await until("it is stopped", async () => (await ends())[0] === "aborted");
    }),
  );
});
