// Tests keys that the hub makes, changes and takes back, through two edges in workerd.

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { admin, createKey, startAdminFront } from "../support/admin.mjs";
import { temporaryFolder } from "../support/folder.mjs";
import { eventsOf, lines, newKey, post, says, until } from "../support/front.mjs";
import { get, refused } from "../support/keys.mjs";

const long = says("hi [[fake deltas=2000 delay=20]]", { stream: true });
const short = says("hi [[fake deltas=1]]");

for (const protocol of [4, 3]) {
  describe(`keys of the hub, protocol ${protocol}`, () => {
    let front, here, there;
    before(async () => {
      front = await startAdminFront({ protocol });
      [here, there] = [front.worker, front.worker.edge];
    });
    after(() => front.stop());

    const manage = (...call) => admin(there, front.ops, ...call);

    test("a new key is good at once, through every edge", async () => {
      const phone = await createKey(front, "tablet", { label: "Zoë's tablet", agents: ["main"] });
      for (const edge of [here, there]) {
        assert.equal((await post(edge, phone, short)).status, 200);
        const status = await (await get(edge, phone, "/v1/key")).json();
        assert.deepEqual([status.id, status.label], ["tablet", "Zoë's tablet"]);
      }
      const other = { ...short, model: "openclaw/beta" };
      assert.equal((await refused(await post(here, phone, other))).code, "model_not_found");
    });

    test("a revoked key is refused at once, and its streams end with an error", async () => {
      const lost = await createKey(front, "lost");
      const kept = await createKey(front, "kept");
      const streams = await Promise.all(
        [here, there, here].map((edge, index) => post(edge, index < 2 ? lost : kept, long)),
      );
      const bodies = streams.map((stream) => stream.text());
      await until("the runs are there", async () => (await front.sim.journal()).runs.length >= 3);
      const revokedAt = performance.now();
      assert.deepEqual(await manage("DELETE", "/keys/lost"), {
        status: 200,
        body: { object: "key.deleted", id: "lost", deleted: true },
      });
      for (const edge of [here, there])
        assert.equal((await refused(await post(edge, lost, short))).status, 401);
      for (const body of await Promise.all(bodies.slice(0, 2))) {
        const events = eventsOf(body);
        assert.equal(events.at(-1).error.code, "api_key_expired");
        assert.match(body, /data: \[DONE\]\n\n$/);
        assert.ok(!body.includes('"finish_reason":"stop"'));
      }
      assert.ok(performance.now() - revokedAt < 5000);
      // The other key's stream goes on.
      const ended = async () => (await front.sim.journal()).runs.map(({ ended }) => ended);
      const aborted = async () => (await ended()).filter((end) => end === "aborted").length;
      if (protocol === 4) await until("the runs are stopped", async () => (await aborted()) === 2);
      else assert.equal(await aborted(), 0);
      await manage("POST", "/keys/kept", { disabled: true });
      const events = eventsOf(await bodies[2]);
      assert.ok(events.length > 2);
      assert.equal(events.at(-1).error.code, "api_key_expired");
    });

    test("a disabled key is refused until it is enabled", async () => {
      const key = await createKey(front, "paused");
      const ask = async () => (await post(here, key, short)).status;
      assert.equal(await ask(), 200);
      await manage("POST", "/keys/paused", { disabled: true });
      assert.equal(await ask(), 401);
      const line = lines(front.worker).findLast((line) => line.key === "paused");
      assert.equal(line.cause, "key_disabled");
      await manage("POST", "/keys/paused", { disabled: false });
      assert.equal(await ask(), 200);
    });

    test("a changed key has its new rights at once", async () => {
      const key = await createKey(front, "changed");
      await manage("POST", "/keys/changed", { requests_per_minute: 1, agents: ["main", "beta"] });
      const ask = async (edge) =>
        (await post(edge, key, { ...short, model: "openclaw/beta" })).status;
      assert.deepEqual([await ask(here), await ask(there)], [200, 429]);
    });

    test("after a rotation both secrets are good until the overlap ends", async () => {
      const first = await createKey(front, "rotated");
      const ask = async (key) => (await post(here, key, short)).status;
      const rotate = async (overlap_s) => {
        const { status, body } = await manage("POST", "/keys/rotated/rotate", { overlap_s });
        assert.equal(status, 200);
        return { key: body.key };
      };
      const second = await rotate(3600);
      assert.deepEqual([await ask(first), await ask(second)], [200, 200]);
      const third = await rotate(0);
      assert.deepEqual([await ask(first), await ask(second), await ask(third)], [401, 401, 200]);
    });

    test("a key's scopes, pages and networks are checked in the hub", async () => {
      const key = await createKey(front, "narrow", {
        scopes: ["models"],
        origins: ["https://chat.example.com"],
      });
      assert.equal((await refused(await post(here, key, short))).code, "missing_scope");
      const page = (origin) => get(here, key, "/v1/models", { origin });
      const own = await page("https://chat.example.com");
      assert.equal(own.status, 200);
      assert.equal(own.headers.get("access-control-allow-origin"), "https://chat.example.com");
      const other = await page("https://evil.example.com");
      assert.equal((await refused(other)).code, "origin_not_allowed");
      assert.equal(other.headers.get("access-control-allow-origin"), null);
      const preflight = await fetch(`${here.url}/v1/models`, {
        method: "OPTIONS",
        headers: { origin: "https://chat.example.com", "access-control-request-method": "GET" },
      });
      assert.equal(preflight.status, 204);
      const inside = { "cf-connecting-ip": "203.0.113.7" };
      await manage("POST", "/keys/narrow", { networks: ["203.0.113.0/24"], origins: null });
      assert.equal((await get(here, key, "/v1/models", inside)).status, 200);
      const outside = { "cf-connecting-ip": "192.0.2.1" };
      assert.equal((await get(here, key, "/v1/models", outside)).status, 401);
    });

    test("an administrator sees the last use of a key, and of a refused one nothing", async () => {
      const key = await createKey(front, "watched", { origins: ["https://chat.example.com"] });
      const lastUse = async (id = "watched") => {
        const { body } = await manage("GET", `/keys/${id}`);
        return [body.last_used_at, body.last_used_network, body.last_used_client];
      };
      assert.deepEqual(await lastUse(), [null, null, null]);
      const stranger = { "cf-connecting-ip": "198.51.100.9", "user-agent": "evil/1" };
      const forged = { key: `${key.key.slice(0, -9)}${"a".repeat(9)}` };
      assert.equal((await get(here, forged, "/v1/key", stranger)).status, 401);
      const page = { ...stranger, origin: "https://evil.example.com" };
      assert.equal((await get(here, key, "/v1/models", page)).status, 403);
      assert.deepEqual(await lastUse(), [null, null, null]);

      const phone = { "cf-connecting-ip": "203.0.113.7", "user-agent": "Chat/2.1 (Anna's phone)" };
      assert.equal((await get(there, key, "/v1/models", phone)).status, 200);
      const [at, ...from] = await lastUse();
      assert.ok(Math.abs(Date.now() / 1000 - at) < 60);
      assert.deepEqual(from, ["203.0.113.0/24", "Chat/2.1"]);
      // A request that the key's limits refuse is a use, too.
      await manage("POST", "/keys/watched", { scopes: ["models"] });
      const other = { "cf-connecting-ip": "2001:db8:1:2::3", "user-agent": '"<b>' };
      assert.equal((await post(here, key, short, { headers: other })).status, 403);
      assert.deepEqual((await lastUse()).slice(1), ["2001:db8:1::/48", null]);
      const { body } = await manage("GET", "/keys");
      assert.deepEqual(
        body.data.filter(({ id }) => id === "watched").map((key) => key.last_used_network),
        ["2001:db8:1::/48"],
      );
      // An earlier key with the same id was used by somebody else.
      await manage("DELETE", "/keys/watched");
      await sleep(1_100);
      const again = await createKey(front, "watched");
      assert.deepEqual(await lastUse(), [null, null, null]);
      assert.equal((await get(there, again, "/v1/models", phone)).status, 200);
      assert.equal((await lastUse())[2], "Chat/2.1");
      // The bearer itself is not shown it.
      assert.ok(!("last_used_at" in (await (await get(here, again, "/v1/key")).json())));
    });

    test("chat keys cannot administer, and administrators cannot chat", async () => {
      const chat = await createKey(front, "chatter");
      for (const key of [chat, front.phone, front.boss])
        for (const [method, path] of [
          ["GET", "/keys"],
          ["POST", "/keys"],
          ["DELETE", "/keys/chatter"],
          ["POST", "/keys/chatter/rotate"],
          ["GET", "/audit"],
        ]) {
          const { status, body } = await admin(here, key, method, path);
          assert.deepEqual([status, body.error.code], [403, "missing_scope"], path);
        }
      assert.equal((await refused(await post(here, front.ops, short))).code, "missing_scope");
      // A second administrator is a key as well, and can be revoked.
      const deputy = await createKey(front, "deputy", { scopes: ["admin"], agents: null });
      assert.equal((await admin(here, deputy, "GET", "/keys")).status, 200);
      await manage("DELETE", "/keys/deputy");
      assert.equal((await admin(here, deputy, "GET", "/keys")).status, 401);
    });

    test("the record has who did what and when, and no list has a secret", async () => {
      const key = await createKey(front, "recorded");
      await manage("POST", "/keys/recorded", { label: "x" });
      await manage("DELETE", "/keys/recorded");
      const { body } = await manage("GET", "/audit");
      const own = body.data.filter((record) => record.key === "recorded");
      assert.deepEqual(
        own.map(({ object, actor, action }) => [object, actor, action]),
        ["key.deleted", "key.updated", "key.created"].map((action) => ["audit_log", "ops", action]),
      );
      const list = JSON.stringify((await manage("GET", "/keys")).body);
      for (const text of [list, JSON.stringify(body), front.worker.log.join("\n")]) {
        assert.ok(!text.includes(key.key.split("_")[2]));
        assert.ok(!text.includes("sha256"));
      }
    });

    test("an unknown key, path or method is an error in OpenAI's shape", async () => {
      for (const [method, path, status, code] of [
        ["GET", "/keys/nobody", 404, "key_not_found"],
        ["DELETE", "/keys/phone", 404, "key_not_found"],
        ["GET", "/nothing", 404, "unknown_url"],
        ["PUT", "/keys", 405, "method_not_allowed"],
      ]) {
        const answer = await manage(method, path);
        assert.deepEqual([answer.status, answer.body.error.code], [status, code], path);
      }
    });
  });
}

test("keys outlive the hub's restart", async () => {
  const storage = temporaryFolder("keys");
  const front = await startAdminFront({ storage });
  let again;
  try {
    const key = await createKey(front, "durable");
    await admin(front.worker, front.ops, "POST", "/keys/durable", { label: "stays" });
    const gone = await createKey(front, "gone");
    await admin(front.worker, front.ops, "DELETE", "/keys/gone");
    const headers = { "user-agent": "Chat/2.1" };
    assert.equal((await post(front.worker, key, short, { headers })).status, 200);
    await front.worker.stop();
    again = await front.another();
    const shown = await admin(again, front.ops, "GET", "/keys/durable");
    assert.equal(shown.body.last_used_client, "Chat/2.1");
    const status = await (await get(again, key, "/v1/key")).json();
    assert.equal(status.label, "stays");
    assert.equal((await get(again, gone, "/v1/key")).status, 401);
    const { body } = await admin(again, front.ops, "GET", "/audit");
    assert.equal(body.data.length, 4);
  } finally {
    await again?.stop();
    await front.stop();
  }
});

test("a forged key wakes no hub", async () => {
  const storage = temporaryFolder("forged");
  const front = await startAdminFront({ storage });
  try {
    for (let count = 0; count < 50; count += 1) {
      const forged = newKey(`forged-${count}`, "main");
      assert.equal((await get(front.worker, forged, "/v1/key")).status, count < 20 ? 401 : 429);
    }
    const folder = join(storage, "Hub");
    const objects = () =>
      (existsSync(folder) ? readdirSync(folder) : []).filter((name) =>
        /^[0-9a-f]{64}\.sqlite$/.test(name),
      ).length;
    assert.equal(objects(), 0);
    await createKey(front, "real");
    assert.equal(objects(), 1);
  } finally {
    await front.stop();
  }
});

test("a revoked key leaves the queue, and nothing was started for it", async () => {
  const front = await startAdminFront({ vars: { GATEWAY_RUNS: "1" } });
  try {
    const [first, second] = [await createKey(front, "first"), await createKey(front, "second")];
    const going = await post(front.worker, first, long);
    const waiting = await post(front.worker, second, long);
    const body = waiting.text();
    await admin(front.worker, front.ops, "DELETE", "/keys/second");
    const events = eventsOf(await body);
    assert.equal(events.at(-1).error.code, "api_key_expired");
    assert.equal((await front.sim.journal()).runs.length, 1);
    await admin(front.worker, front.ops, "DELETE", "/keys/first");
    await going.text();
  } finally {
    await front.stop();
  }
});

test("the bearer of a revoked key fills no log", async () => {
  const front = await startAdminFront();
  try {
    const lost = await createKey(front, "lost");
    const kept = await createKey(front, "kept");
    await admin(front.worker, front.ops, "DELETE", "/keys/lost");
    const headers = { "cf-connecting-ip": "203.0.113.7" };
    for (let count = 1; count <= 40; count += 1) {
      const { status } = await get(front.worker, lost, "/v1/key", headers);
      assert.equal(status, count <= 20 ? 401 : 429);
    }
    const logged = lines(front.worker).filter((line) => line.key === "lost");
    assert.equal(logged.length, 21);
    assert.equal(logged[0].cause, "key_unknown");
    // A good key from the same address is admitted.
    assert.equal((await get(front.worker, kept, "/v1/key", headers)).status, 200);
  } finally {
    await front.stop();
  }
});

test("the record of changes keeps the latest 1000", async () => {
  const front = await startAdminFront();
  try {
    await createKey(front, "busy");
    for (let batch = 0; batch < 50; batch += 1)
      await Promise.all(
        Array.from({ length: 21 }, (_, index) =>
          admin(front.worker, front.ops, "POST", "/keys/busy", { label: `${batch} ${index}` }),
        ),
      );
    const { body } = await admin(front.worker, front.ops, "GET", "/audit");
    assert.equal(body.data.length, 1000);
    assert.ok(body.data.every(({ action }) => action === "key.updated"));
  } finally {
    await front.stop();
  }
});

test("without KEYS_SECRET the hub makes no keys, and says why", async () => {
  const front = await startAdminFront({ vars: { KEYS_SECRET: "" } });
  try {
    const { status, body } = await admin(front.worker, front.ops, "POST", "/keys", {
      id: "x",
      agents: ["main"],
    });
    assert.equal(status, 400);
    assert.match(body.error.message, /KEYS_SECRET/);
  } finally {
    await front.stop();
  }
});
