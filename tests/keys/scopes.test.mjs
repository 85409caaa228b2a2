// Tests the endpoints that a key opens, and the facts that it gets about itself.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { post, says } from "../support/front.mjs";
import { day, frontWith, get, keyWith, refused } from "../support/keys.mjs";

describe("scopes and status", () => {
  const phone = keyWith(
    "phone",
    "main,beta",
    `default=main rpm=30 runs=2 expires=${day(30)} label="Anna's phone"`,
  );
  const talker = keyWith("talker", "main", "scopes=chat");
  const reader = keyWith("reader", "main", "scopes=models");
  let front;
  before(async () => (front = await frontWith([phone, talker, reader])));
  after(() => front.stop());

  test("a key can use its scopes, and the gateway receives nothing else", async () => {
    await front.sim.reset();
    for (const response of [
      await post(front.worker, reader, says("hi")),
      await get(front.worker, talker, "/v1/models"),
      await get(front.worker, talker, "/v1/models/main"),
    ]) {
      const { status, code } = await refused(response);
      assert.deepEqual([status, code], [403, "missing_scope"]);
    }
    assert.equal((await front.sim.journal()).connections, 0);
    assert.equal((await get(front.worker, reader, "/v1/models")).status, 200);
    assert.equal((await post(front.worker, talker, says("hi [[fake deltas=1]]"))).status, 200);
  });

  test("a bearer can read its key's rights, expiry and remaining quota", async () => {
    await (await post(front.worker, phone, says("hi [[fake deltas=1]]"))).text();
    const response = await get(front.worker, phone, "/v1/key");
    assert.equal(response.headers.get("cache-control"), "no-store");
    const { requests_per_minute, tokens_per_month, usage_today, ...status } = await response.json();
    const resets = `${day(1)}T00:00:00Z`;
    assert.deepEqual(status, {
      object: "key",
      id: "phone",
      label: "Anna's phone",
      agents: ["main", "beta"],
      default_agent: "main",
      sessions: "own",
      scopes: ["chat", "models", "responses"],
      not_before: null,
      expires: `${day(30)}T00:00:00Z`,
      concurrent_runs: { limit: 2, running: 0, reading: 0 },
      tokens_per_day: { limit: null, used: 1002, resets },
      runs_per_day: { limit: null, used: 1, resets },
      origins: [],
      networks: [],
      heartbeat: true,
      keep_alive_s: 30,
      linger_s: null,
      on_disconnect: "abort",
      conversations: [],
      tasks: "aside",
      files: true,
      reasoning: false,
      progress: false,
      aliases: false,
      tools: "ignore",
      system: "allow",
    });
    assert.deepEqual([tokens_per_month.limit, tokens_per_month.used], [null, 1002]);
    assert.match(tokens_per_month.resets, /^\d{4}-\d\d-01T00:00:00Z$/);
    const { run_ms, ...counts } = usage_today;
    assert.ok(run_ms > 0);
    assert.deepEqual(counts, {
      requests: 1,
      runs: 1,
      answers: 1,
      stopped: 0,
      provider_failures: 0,
      other_failures: 0,
      input_tokens: 1001,
      cached_tokens: 100,
      output_tokens: 1,
    });
    assert.deepEqual([requests_per_minute.limit, requests_per_minute.remaining], [30, 29]);
    assert.ok(requests_per_minute.reset_s > 0 && requests_per_minute.reset_s <= 60);
    // No scope is needed, and asking uses nothing up.
    assert.equal((await (await get(front.worker, reader, "/v1/key")).json()).id, "reader");
    assert.equal(
      (await (await get(front.worker, phone, "/v1/key")).json()).requests_per_minute.remaining,
      29,
    );
    assert.equal((await refused(await fetch(`${front.worker.url}/v1/key`))).status, 401);
  });
});
