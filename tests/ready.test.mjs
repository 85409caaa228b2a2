// Tests GET /readyz: it reports whether the gateway can be used, to clients with a key only, and a
// request without a key reaches no gateway.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { EACH_CONNECTS, newKey, startFront } from "./support/front.mjs";
import { startWorker } from "./support/worker.mjs";

const operator = newKey("operator", "main", "--scopes", "status");

let front;
before(async () => (front = await startFront({ vars: EACH_CONNECTS })));
after(() => front.stop());

/**
 * A Worker of its own, so that it knows nothing yet; `ask` is `GET /readyz` with a key, or without.
 */
async function fresh(run) {
  await front.sim.reset();
  const vars = {
    GATEWAY_URL: front.sim.url,
    GATEWAY_TOKEN: front.sim.token,
    CLIENT_KEYS: [operator.entry, front.phone.entry].join("\n"),
  };
  const worker = await startWorker({ vars });
  const ask = async (key) => {
    const response = await fetch(`${worker.url}/readyz`, {
      headers: key ? { authorization: `Bearer ${key}` } : {},
    });
    const { checked_s_ago: age, ...body } = await response.json();
    if (age !== undefined) assert.ok(Number.isInteger(age) && age >= 0 && age < 60, `${age}`);
    assert.equal(response.headers.get("retry-after"), response.status === 503 ? "5" : null);
    return [response.status, body];
  };
  const upgrades = async () => (await front.sim.journal()).upgrades.length;
  try {
    await run(ask, upgrades);
  } finally {
    await worker.stop();
  }
}

test("a key with the scope status has the gateway asked, once in a while", async () => {
  await fresh(async (ask, upgrades) => {
    assert.deepEqual(await ask(), [503, { status: "unknown" }]);
    assert.deepEqual(await ask(front.phone.key), [503, { status: "unknown" }]);
    assert.equal(await upgrades(), 0);
    const ready = [200, { status: "ready", agents: 3 }];
    assert.deepEqual(await Promise.all([ask(operator.key), ask(operator.key), ask(operator.key)]), [
      ready,
      ready,
      ready,
    ]);
    assert.deepEqual(await ask(operator.key), ready);
    assert.equal(await upgrades(), 1);
    assert.deepEqual(await ask(), [200, { status: "ready" }]);
    assert.deepEqual(await ask(front.phone.key), [200, { status: "ready" }]);
    assert.equal(await upgrades(), 1);
  });
});

test("the cause is sent to no one else", async () => {
  await fresh(async (ask, upgrades) => {
    await front.sim.fault("proxy-attribution", 5);
    const [status, body] = await ask(operator.key);
    assert.deepEqual(
      [status, body.status, body.cause],
      [503, "not_ready", "proxy_attribution_required"],
    );
    assert.match(body.hint, /trustedProxies/);
    assert.deepEqual(await ask(operator.key), [status, body]);
    assert.deepEqual(await ask(), [503, { status: "not_ready" }]);
    assert.deepEqual(await ask(front.phone.key), [503, { status: "not_ready" }]);
    assert.equal(await upgrades(), 1);
  });
});

test("a wrong key is refused as everywhere", async () => {
  await fresh(async (ask, upgrades) => {
    const other = operator.key.endsWith("a") ? "b" : "a";
    const [status, body] = await ask(`${operator.key.slice(0, -1)}${other}`);
    assert.deepEqual([status, body.error.code], [401, "invalid_api_key"]);
    assert.equal(await upgrades(), 0);
  });
});
