// Tests what two edges have in common: one hub, which counts and recognises for the deployment.

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { temporaryFolder } from "./support/folder.mjs";
import { newKey, post, says, startFront, until } from "./support/front.mjs";
import { get, keyWith } from "./support/keys.mjs";

const limited = keyWith("limited", "main", "rpm=2");
const two = keyWith("two", "main", "runs=2");

/** Returns the status and the code of a response. */
const outcome = async (answer) => {
  const response = await answer;
  const { error } = await response.json();
  return [response.status, error?.code];
};

for (const protocol of [4, 3]) {
  describe(`two edges and one hub, protocol ${protocol}`, () => {
    let front, here, there;
    before(async () => {
      front = await startFront({ protocol, entries: [limited.entry, two.entry] });
      [here, there] = [front.worker, front.worker.edge];
    });
    after(() => front.stop());
    beforeEach(() => front.sim.reset());

    const runs = async () => (await front.sim.journal()).runs;

    test("a key's requests of a minute are counted through both", async () => {
      const remaining = async (edge) => {
        const response = await post(edge, limited, says("hi [[fake deltas=1]]"));
        await response.text();
        return [response.status, response.headers.get("x-ratelimit-remaining-requests")];
      };
      assert.deepEqual(await remaining(here), [200, "1"]);
      assert.deepEqual(await remaining(there), [200, "0"]);
      assert.deepEqual(await remaining(here), [429, "0"]);
      for (const edge of [here, there]) {
        const status = await (await get(edge, limited, "/v1/key")).json();
        assert.equal(status.requests_per_minute.remaining, 0);
      }
    });

    test("a key's runs are counted through both", async () => {
      const controllers = [here, there].map(() => new AbortController());
      const long = says("hi [[fake deltas=1000 delay=20]]", { stream: true });
      for (const [index, edge] of [here, there].entries()) {
        const { signal } = controllers[index];
        assert.equal((await post(edge, two, long, { signal })).status, 200);
      }
      for (const edge of [here, there]) {
        assert.deepEqual(await outcome(post(edge, two, says("hi"))), [
          429,
          "concurrent_runs_exceeded",
        ]);
        const status = await (await get(edge, two, "/v1/key")).json();
        assert.equal(status.concurrent_runs.running, 2);
      }
      for (const controller of controllers) controller.abort();
      await until("both have room again", async () => {
        const status = await (await get(there, two, "/v1/key")).json();
        return status.concurrent_runs.running === 0;
      });
    });

    test("an SDK's second attempt joins the run that another edge began", async () => {
      const body = says("hi [[fake deltas=20 delay=50]]");
      const attempt = (edge, number) =>
        post(edge, front.phone, body, { headers: { "x-stainless-retry-count": number } });
      const first = attempt(here, "0");
      await until("the run has begun", async () => (await runs()).length === 1);
      const second = attempt(there, "1");
      const texts = await Promise.all(
        [first, second].map(async (answer) => {
          const response = await answer;
          return (await response.json()).choices[0].message.content;
        }),
      );
      assert.equal(texts[0], texts[1]);
      assert.equal((await runs()).length, 1);
    });

    test("a key for one request names one body, through whichever edge", async () => {
      const headers = { "idempotency-key": `order-${protocol}` };
      const ask = (edge, content) => outcome(post(edge, front.phone, says(content), { headers }));
      assert.deepEqual(await ask(here, "hi [[fake deltas=1]]"), [200, undefined]);
      assert.deepEqual(await ask(there, "hi [[fake deltas=2]]"), [409, "idempotency_key_reused"]);
      assert.deepEqual(await ask(there, "hi [[fake deltas=1]]"), [200, undefined]);
      assert.equal((await runs()).length, 1);
    });

    test("a client cannot say who it is to the hub, and receives nothing that is for the edge", async () => {
      const headers = { "x-clawfront-key": "boss", "x-clawfront-id": "chosen" };
      const response = await fetch(`${there.url}/v1/key`, {
        headers: { authorization: `Bearer ${front.phone.key}`, ...headers },
      });
      assert.equal((await response.json()).id, "phone");
      const body = { model: "openclaw", input: "hi [[fake deltas=1]]", stream: true };
      const stream = await fetch(`${there.url}/v1/responses`, {
        method: "POST",
        headers: { authorization: `Bearer ${front.phone.key}`, ...headers },
        body: JSON.stringify(body),
      });
      assert.match(await stream.text(), /response\.completed/);
      const ready = await fetch(`${there.url}/readyz`, {
        headers: { authorization: `Bearer ${front.phone.key}` },
      });
      await ready.text();
      for (const { headers } of [response, stream, ready])
        assert.deepEqual(
          [...headers.keys()].filter((name) => name.startsWith("x-clawfront")),
          [],
        );
    });
  });
}

test("an object keeps its length on its way, and an offer of an upgrade changes nothing", async () => {
  const front = await startFront();
  try {
    const { edge, port } = front.worker;
    const headers = { authorization: `Bearer ${front.phone.key}` };
    const url = `${edge.url}/v1/key`;
    const response = await fetch(url, { headers });
    const body = await response.text();
    assert.equal(response.headers.get("content-length"), `${Buffer.byteLength(body)}`);
    const head = await fetch(url, { headers, method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
    // fetch sends no header Upgrade.
    const answered = await new Promise((resolve, reject) => {
      const content = JSON.stringify(says("hi [[fake deltas=1]]"));
      const path = "/v1/chat/completions";
      const offer = { ...headers, connection: "Upgrade", upgrade: "h2c" };
      request({ port, path, method: "POST", headers: offer }, resolve)
        .on("error", reject)
        .end(content);
    });
    answered.resume();
    assert.equal(answered.statusCode, 200);
  } finally {
    await front.stop();
  }
});

test("a key is as the edge knows it, while the hub has not restarted after a deploy", async () => {
  const fresh = newKey("fresh", "main", "--label", "Zoë 100 %");
  const narrowed = keyWith("narrowed", "main", "rpm=1");
  const former = narrowed.entry.replace("rpm=1", "rpm=100");
  const front = await startFront({
    vars: { CLIENT_KEYS: former },
    edgeVars: { CLIENT_KEYS: [fresh.entry, narrowed.entry].join("\n") },
  });
  try {
    const { edge } = front.worker;
    const status = await (await get(edge, fresh, "/v1/key")).json();
    assert.deepEqual([status.id, status.label], ["fresh", "Zoë 100 %"]);
    assert.deepEqual(await outcome(post(edge, fresh, says("hi [[fake deltas=1]]"))), [
      200,
      undefined,
    ]);
    const ask = () => outcome(post(edge, narrowed, says("hi [[fake deltas=1]]")));
    assert.deepEqual(await ask(), [200, undefined]);
    assert.deepEqual(await ask(), [429, "rate_limit_exceeded"]);
  } finally {
    await front.stop();
  }
});

test("a request without a valid key does not wake the hub", async () => {
  const storage = temporaryFolder("hub");
  const front = await startFront({ storage });
  try {
    const wrong = newKey("phone", "main");
    for (const [path, init] of [
      ["/v1/models", {}],
      ["/v1/key", { headers: { authorization: `Bearer ${wrong.key}` } }],
      ["/readyz", {}],
      ["/healthz", {}],
      ["/v1/chat/completions", { method: "POST", body: "{}" }],
      ["/v1/chat/completions", { method: "OPTIONS" }],
    ])
      await (await fetch(`${front.worker.url}${path}`, init)).text();
    const files = () => {
      const folder = join(storage, "Hub");
      // One file of each object has its id as its name, and `metadata` is workerd's own.
      const names = existsSync(folder) ? readdirSync(folder) : [];
      return names.filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)).length;
    };
    assert.equal(files(), 0);
    await (await get(front.worker, front.phone, "/v1/key")).text();
    assert.ok(files() > 0, "an admitted request does");
  } finally {
    await front.stop();
  }
});
