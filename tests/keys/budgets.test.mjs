// Tests the budgets of a key: tokens and runs of a day, tokens of a month.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { post, says, sdk, until } from "../support/front.mjs";
import { frontWith, get, keyWith, refused } from "../support/keys.mjs";

/** Input of a run in the simulated gateway, in tokens: 901 sent, 100 cached. */
const INPUT = 1001;

const status = async (front, key) => (await get(front.worker, key, "/v1/key")).json();
const ask = (front, key, content = "hi [[fake deltas=1]]", fields = {}) =>
  post(front.worker, key, says(content, fields));

test("a key whose tokens are used up is refused, and the gateway receives nothing", async () => {
  const spender = keyWith("spender", "main", "tokens_day=1500 tokens_month=1000000");
  const other = keyWith("other", "main", "tokens_day=1500");
  const front = await frontWith([spender, other]);
  try {
    const first = await ask(front, spender);
    const { usage } = await first.json();
    const named = ["limit", "remaining", "reset"].map((word) =>
      first.headers.get(`x-ratelimit-${word}-tokens`),
    );
    assert.deepEqual(named.slice(0, 2), ["1500", "1500"]);
    assert.match(named[2], /^(\d+h)?(\d+m)?\d+s$/);
    assert.equal(first.headers.get("x-ratelimit-limit-requests"), null);
    const second = await ask(front, spender);
    assert.equal(
      second.headers.get("x-ratelimit-remaining-tokens"),
      `${1500 - usage.total_tokens}`,
    );
    await second.json();
    await until("it counts", async () => (await status(front, spender)).usage_today.runs === 2);
    await front.sim.reset();
    const { status: code, text, headers, ...error } = await refused(await ask(front, spender));
    assert.deepEqual([code, error.code], [429, "insufficient_quota"]);
    const used = 2 * usage.total_tokens;
    const { tokens_per_day, tokens_per_month } = await status(front, spender);
    assert.deepEqual([tokens_per_day.limit, tokens_per_day.used], [1500, used]);
    assert.deepEqual([tokens_per_month.limit, tokens_per_month.used], [1000000, used]);
    assert.deepEqual(JSON.parse(text).error, {
      message: `This API key has used ${used} of its 1500 tokens of this day; the next begins at ${tokens_per_day.resets}.`,
      type: "insufficient_quota",
      param: null,
      code: "insufficient_quota",
    });
    assert.deepEqual(
      ["retry-after", "x-should-retry", "x-ratelimit-remaining-tokens"].map((name) =>
        headers.get(name),
      ),
      [null, "false", "0"],
    );
    // The SDK's own retries: none.
    const requests = async () => (await status(front, spender)).usage_today.requests;
    const before = await requests();
    let calls = 0;
    const counting = (...call) => {
      calls += 1;
      return fetch(...call);
    };
    await assert.rejects(
      sdk(front.worker, spender, { maxRetries: 2, fetch: counting }).chat.completions.create(
        says("hi"),
      ),
      (error) => error instanceof OpenAI.RateLimitError && error.code === "insufficient_quota",
    );
    assert.equal(calls, 1);
    // A body that never comes is not waited for.
    const unread = await ask(front, spender, "x".repeat(1_000_000));
    assert.equal((await refused(unread)).status, 429);
    assert.equal(await requests(), before, "a refused request does not count");
    const journal = await front.sim.journal();
    assert.equal(journal.runs.length, 0);
    assert.equal((await ask(front, other)).status, 200);
  } finally {
    await front.stop();
  }
});

test("a run that is going is not stopped by a budget of tokens, and counts at its end", async () => {
  const spender = keyWith("spender", "main", "tokens_day=1");
  const front = await frontWith([spender]);
  try {
    const long = await ask(front, spender, "hi [[fake deltas=60 delay=20]]", { stream: true });
    assert.equal((await ask(front, spender)).status, 200, "nothing is used up before the end");
    assert.equal((await refused(await ask(front, spender))).code, "insufficient_quota");
    const text = await long.text();
    assert.match(text, /"finish_reason":"stop"/);
    await until("both count", async () => {
      const { usage_today } = await status(front, spender);
      return usage_today.runs === 2 && usage_today.input_tokens === 2 * INPUT;
    });
  } finally {
    await front.stop();
  }
});

test("a budget of runs is exact, also for requests at a time", async () => {
  const spender = keyWith("spender", "main", "runs_day=3");
  const front = await frontWith([spender]);
  try {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => ask(front, spender, "hi [[fake deltas=10 delay=20]]")),
    );
    const statuses = answers.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [...Array(3).fill(200), ...Array(7).fill(429)]);
    await Promise.all(answers.map((answer) => answer.text()));
    assert.equal((await front.sim.journal()).runs.length, 3);
    const { runs_per_day, usage_today } = await status(front, spender);
    assert.deepEqual([runs_per_day.limit, runs_per_day.used], [3, 3]);
    assert.deepEqual([usage_today.requests, usage_today.answers], [3, 3]);
    // A request that starts no run gives its run back.
    const careful = keyWith("careful", "main", "runs_day=1");
    const another = await frontWith([careful]);
    try {
      assert.equal((await refused(await post(another.worker, careful, "{"))).status, 400);
      assert.equal((await ask(another, careful)).status, 200);
    } finally {
      await another.stop();
    }
  } finally {
    await front.stop();
  }
});
