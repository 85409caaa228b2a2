// The way to the gateway: every way in which it can fail, as the client, the log and the operator
// see it.

import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { EACH_CONNECTS, lines, newKey, post, says, startFront, until } from "./support/front.mjs";
import { startSim } from "./support/sim.mjs";
import { answering, CASES, LOGIN, listen, webSocketServer } from "./support/stand-ins.mjs";
import { startWorker } from "./support/worker.mjs";

const phone = newKey("phone", "main");

/** Starts a Worker whose gateway is at `url`. */
const workerFor = (url, vars = {}, services = {}) =>
  startWorker({
    vars: { GATEWAY_URL: url, GATEWAY_TOKEN: "s3cret-token", CLIENT_KEYS: phone.entry, ...vars },
    services,
  });

/** Sends one request; returns the client's response and the log's line about it. */
async function ask(worker, body = says("hi")) {
  const response = await post(worker, phone, body);
  const text = await response.text();
  const id = response.headers.get("x-request-id");
  const line = await until("the line is there", () =>
    lines(worker).find(({ request_id }) => request_id === id),
  );
  return {
    status: response.status,
    code: JSON.parse(text).error?.code,
    retryAfter: response.headers.get("retry-after"),
    text,
    line,
  };
}

describe("the servers in a gateway's place are distinguished", () => {
  for (const [what, make, status, code, cause, detail, hint] of CASES) {
    test(`${what}: ${cause}`, async () => {
      const origin = await listen(make());
      const worker = await workerFor(`ws://127.0.0.1:${origin.port}`);
      try {
        const answer = await ask(worker);
        assert.deepEqual([answer.status, answer.code], [status, code]);
        assert.equal(
          answer.retryAfter,
          code === "gateway_refused" || cause === "device_removed"
            ? null
            : cause === "auth_lockout"
              ? "297"
              : "5",
        );
        assert.deepEqual([answer.line.cause, answer.line.detail], [cause, detail]);
        assert.match(answer.line.hint, hint);
        // Nothing of the gateway's detail: not for the client, and none of its prose for the log.
        assert.ok(
          !answer.text.includes(answer.line.hint) && !answer.text.includes("s3cret"),
          answer.text,
        );
        assert.ok(!JSON.stringify(answer.line).includes("s3cret"), JSON.stringify(answer.line));
      } finally {
        await worker.stop();
        await origin.stop();
      }
    });
  }

  test("nothing listens, no name, no TLS: the runtime distinguishes two kinds", async () => {
    const plain = await listen(answering(200));
    for (const [url, cause] of [
      ["ws://127.0.0.1:9", "connection_failed"],
      ["wss://127.0.0.1:9", "connection_failed"],
      ["wss://gateway.invalid", "dns_or_tls_failure"],
      [`wss://127.0.0.1:${plain.port}`, "dns_or_tls_failure"],
    ]) {
      const worker = await workerFor(url);
      try {
        const { status, code, line } = await ask(worker);
        assert.deepEqual([url, status, code, line.cause], [url, 502, "gateway_unreachable", cause]);
      } finally {
        await worker.stop();
      }
    }
    await plain.stop();
  });

  test("a server that never answers is given up after the time to connect, and a gateway that never sends a frame after the time of the handshake", async () => {
    const dumb = await listen(createServer(() => {}));
    const silent = await listen(webSocketServer(() => {}));
    const workers = await Promise.all(
      [dumb, silent].map(({ port }) => workerFor(`ws://127.0.0.1:${port}`)),
    );
    try {
      const [connect, handshake] = await Promise.all(workers.map((worker) => ask(worker)));
      assert.deepEqual(
        [connect.status, connect.code, connect.line.cause],
        [504, "gateway_connect_timeout", "connect_timeout"],
      );
      assert.deepEqual(
        [handshake.status, handshake.code, handshake.line.cause],
        [504, "gateway_handshake_timeout", "handshake_timeout"],
      );
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
      await Promise.all([dumb.stop(), silent.stop()]);
    }
  });
});

describe("the headers of the upgrade", () => {
  test("the service token and the operator's headers go with it, and nowhere else", async () => {
    const seen = [];
    const origin = await listen(
      createHttpServer(({ headers }, response) => {
        seen.push(headers);
        response.writeHead(404).end();
      }),
    );
    const worker = await workerFor(`ws://127.0.0.1:${origin.port}`, {
      ACCESS_CLIENT_ID: "id.access",
      ACCESS_CLIENT_SECRET: "s3cret-half",
      GATEWAY_HEADERS: "x-tunnel: s3cret-value\nauthorization: Basic czNjcmV0",
    });
    try {
      const { text } = await ask(worker);
      assert.equal(seen.length, 1);
      const [{ host, connection, "sec-websocket-key": key, ...headers }] = seen;
      assert.deepEqual(headers, {
        "x-tunnel": "s3cret-value",
        authorization: "Basic czNjcmV0",
        "cf-access-client-id": "id.access",
        "cf-access-client-secret": "s3cret-half",
        upgrade: "websocket",
        "sec-websocket-version": "13",
      });
      for (const told of [text, ...worker.log])
        assert.ok(!/s3cret|czNjcmV0|id\.access/.test(told), told);
    } finally {
      await worker.stop();
      await origin.stop();
    }
  });

  test("a redirect is not followed: no credential goes where it leads", async () => {
    const seen = [];
    const elsewhere = await listen(
      createHttpServer((request, response) => {
        seen.push(request.url);
        response.end();
      }),
    );
    const origin = await listen(
      answering(307, { location: `http://127.0.0.1:${elsewhere.port}/` }),
    );
    const worker = await workerFor(`ws://127.0.0.1:${origin.port}`);
    try {
      assert.equal((await ask(worker)).line.cause, "redirected");
      assert.deepEqual(seen, []);
    } finally {
      await worker.stop();
      await Promise.all([origin.stop(), elsewhere.stop()]);
    }
  });
});

describe("scopes", () => {
  for (const [setting, status] of [
    [{}, 502],
    [{ GATEWAY_SCOPES: "any" }, 200],
  ]) {
    test(`wider ones than asked for, with ${JSON.stringify(setting)}: ${status}`, async () => {
      const front = await startFront({ vars: { ...setting, ...EACH_CONNECTS } });
      try {
        await front.sim.fault("wide-scopes");
        const response = await post(front.worker, front.phone, says("hi [[fake deltas=1]]"));
        assert.equal(response.status, status, await response.text());
        const line = await until("the line is there", () => lines(front.worker)[0]);
        assert.equal(line.cause, status === 502 ? "scopes_too_wide" : undefined);
      } finally {
        await front.stop();
      }
    });
  }
});

describe("the binding GATEWAY", () => {
  test("a bare token that is accepted over it is refused, because no header names the client", async () => {
    const sim = await startSim({ args: ["--agent", "main"] });
    const worker = await workerFor(
      "ws://gateway.invalid",
      { GATEWAY_TOKEN: sim.token },
      { GATEWAY: new URL(sim.url).host },
    );
    try {
      const response = await post(worker, phone, says("hi"));
      assert.deepEqual(
        [response.status, (await response.json()).error.code],
        [502, "gateway_refused"],
      );
      const line = await until("the line is there", () => lines(worker)[0]);
      assert.deepEqual([line.end, line.cause], ["gateway_refused", "taken_for_local"]);
      assert.equal((await sim.journal()).runs.length, 0);
    } finally {
      await worker.stop();
      await sim.stop();
    }
  });

  test("it is the way to a gateway whose host has no address", async () => {
    const sim = await startSim({ args: ["--agent", "main"] });
    const address = new URL(sim.url).host;
    // Whatever the binding leads through, it does not say for whom: a bare token would be refused.
    const worker = await workerFor(
      "ws://gateway.invalid/claw",
      { GATEWAY_TOKEN: sim.token, GATEWAY_SCOPES: "any" },
      { GATEWAY: address },
    );
    try {
      const response = await post(worker, phone, says("hi [[fake deltas=2]]"));
      assert.equal((await response.json()).choices[0].message.content, "w0 w1");
      const upgrade = JSON.stringify(await sim.journal());
      assert.ok(
        upgrade.includes("/claw") && upgrade.includes("gateway.invalid"),
        upgrade.slice(0, 2000),
      );
    } finally {
      await worker.stop();
      await sim.stop();
    }
  });

  test("the failures behind it are distinguished, too", async () => {
    const origin = await listen(answering(302, LOGIN));
    const worker = await workerFor(
      "wss://gateway.invalid",
      {},
      { GATEWAY: `127.0.0.1:${origin.port}` },
    );
    try {
      assert.equal((await ask(worker)).line.cause, "access_login");
    } finally {
      await worker.stop();
      await origin.stop();
    }
  });
});
