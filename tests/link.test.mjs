// The way to the gateway: every way in which it can fail, as the client, the log and the operator see it.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { lines, newKey, post, says, startFront, until } from "./support/front.mjs";
import { startSim } from "./support/sim.mjs";
import { startWorker } from "./support/worker.mjs";

const phone = newKey("phone", "main");

/** A Worker whose gateway is at `url`. */
const workerFor = (url, vars = {}, services = {}) =>
  startWorker({ vars: { GATEWAY_URL: url, GATEWAY_TOKEN: "s3cret-token", CLIENT_KEYS: phone.entry, ...vars }, services });

/** Asks once; returns what the client was told and the log's line about it. */
async function ask(worker, body = says("hi")) {
  const response = await post(worker, phone, body);
  const text = await response.text();
  const id = response.headers.get("x-request-id");
  const line = await until("the line is there", () => lines(worker).find(({ request_id }) => request_id === id));
  return { status: response.status, code: JSON.parse(text).error?.code, retryAfter: response.headers.get("retry-after"), text, line };
}

/** Starts a server on a free port of this host. */
async function listen(server) {
  const sockets = new Set();
  server.on("connection", (socket) => sockets.add(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: server.address().port,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** What answers every request like this, an upgrade too. */
const answering = (status, headers = {}, body = "") => createHttpServer((_, response) => response.writeHead(status, headers).end(body));

/** What opens a WebSocket, and then does as `talk` says, which can say text and close. */
function speaking(talk) {
  const server = createHttpServer();
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.on("error", () => {});
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    talk({
      say: (value) => socket.write(frame(0x1, Buffer.from(JSON.stringify(value)))),
      close: (code) => socket.end(frame(0x8, Buffer.from([code >> 8, code & 0xff]))),
      heard: () => once(socket, "data"),
    });
  });
  return server;
}

/** RFC 6455 section 5.2, from a server. */
function frame(opcode, payload) {
  const length = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 0xff];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length]), payload]);
}

const CHALLENGE = { type: "event", event: "connect.challenge", payload: { nonce: "n", ts: 1795374173763 } };

/** A gateway that refuses whoever connects. */
const refusing = (error, closeCode = 1008) =>
  speaking(async ({ say, close, heard }) => {
    say(CHALLENGE);
    await heard();
    say({ type: "res", id: "1", ok: false, error: { message: "s3cret detail", ...error } });
    close(closeCode);
  });

/** A gateway that closes once it knows who we are. */
const closing = (closeCode) =>
  speaking(async ({ say, close, heard }) => {
    say(CHALLENGE);
    await heard();
    close(closeCode);
  });

const LOGIN = { location: "https://team.cloudflareaccess.com/cdn-cgi/access/login/gw.example.com?kid=0" };
const HTML = { "content-type": "text/html" };

describe("what answers is told apart", () => {
  /** What answers, what the client is told, and the cause, detail and hint of the log. */
  const CASES = [
    ["Cloudflare Access", answering(302, LOGIN), 502, "gateway_refused", "access_login", "302", /service token/],
    ["another redirect", answering(301, { location: "https://sso.example.com/" }), 502, "gateway_refused", "redirected", "301", /reach the gateway itself/],
    ["a web page", answering(200, HTML, "<title>s3cret</title>"), 502, "gateway_refused", "html_page", "200", /web page/],
    ["a proxy that drops Upgrade", answering(200, HTML, "<title>OpenClaw Control</title>"), 502, "gateway_refused", "websocket_disabled", "200", /Upgrade/],
    ["a server that misses Upgrade", answering(400, {}, "Bad Request"), 502, "gateway_refused", "websocket_disabled", "400", /Upgrade/],
    ["another server", answering(404), 502, "gateway_refused", "not_a_gateway", "404", /correct GATEWAY_URL/],
    ["426", answering(426), 502, "gateway_refused", "not_a_gateway", "426", /correct GATEWAY_URL/],
    ["a firewall", answering(403, HTML, "<h1>s3cret</h1>"), 502, "gateway_refused", "forbidden", "403", /GATEWAY_HEADERS/],
    ["a login", answering(401), 502, "gateway_refused", "forbidden", "401", /GATEWAY_HEADERS/],
    [
      "a gateway that does not trust its proxy",
      answering(403, {}, '{"error":{"message":"s3cret","type":"proxy_attribution_required"}}'),
      ...[502, "gateway_refused", "proxy_attribution_required", "403", /trustedProxies/],
    ],
    ["a proxy with nothing behind it", answering(502), 503, "gateway_unavailable", "origin_down", "502", /start the gateway/],
    ["Cloudflare, of an origin that refuses", answering(521, {}, "error code: 521"), 502, "gateway_unreachable", "connection_refused", undefined, /start the gateway/],
    ["Cloudflare, of a certificate", answering(526, {}, "error code: 526"), 502, "gateway_unreachable", "tls_failure", undefined, /certificate/],
    ["Cloudflare, of a name without an address", answering(530, {}, "error code: 1016"), 502, "gateway_unreachable", "dns_failure", undefined, /DNS/],
    ["Cloudflare, of a tunnel that is down", answering(530, {}, "error code: 1033"), 503, "gateway_unavailable", "origin_down", "530", /tunnel/],
    ["what hangs up", createServer((socket) => socket.destroy()), 502, "gateway_unreachable", "connection_failed", undefined, /scheme/],
    ["what closes before the challenge", speaking(({ close }) => close(1000)), 502, "gateway_closed", "closed_before_challenge", "1000", /before the gateway spoke/],
    ["what closes in the handshake", closing(1000), 502, "gateway_closed", "closed_in_handshake", "1000", /log/],
    ["a device that was taken out", closing(4001), 502, "gateway_closed", "device_removed", "4001", /pair the device again/],
    ["a gateway that restarts", closing(1012), 503, "gateway_unavailable", "gateway_draining", "1012", /wait/],
    ["another protocol", closing(1002), 502, "gateway_closed", "protocol_mismatch", "1002", /protocol 3 nor protocol 4/],
    [
      "a challenge without a nonce",
      speaking(({ say }) => say({ ...CHALLENGE, payload: {} })),
      ...[502, "gateway_protocol_error", "protocol_error", "connect.challenge has no nonce", /another program/],
    ],
    [
      "a clock that is wrong",
      refusing({ code: "INVALID_REQUEST", details: { code: "DEVICE_AUTH_SIGNATURE_EXPIRED" } }),
      ...[502, "gateway_refused", "clock_skew", "DEVICE_AUTH_SIGNATURE_EXPIRED", /clock/],
    ],
    [
      "an unpaired device",
      refusing({ code: "NOT_PAIRED", details: { code: "PAIRING_REQUIRED", reason: "not-paired", requestId: "6dec0fd8-1" } }),
      ...[502, "gateway_refused", "device_unpaired", "PAIRING_REQUIRED", /run: openclaw devices approve 6dec0fd8-1$/],
    ],
    [
      "a device with too few scopes",
      refusing({ code: "NOT_PAIRED", details: { code: "PAIRING_REQUIRED", reason: "scope-upgrade", requestId: "r-2" } }),
      ...[502, "gateway_refused", "scope_upgrade", "PAIRING_REQUIRED", /less than operator.read and operator.write: .*approve r-2$/],
    ],
    [
      "a device that was something else",
      refusing({ code: "NOT_PAIRED", details: { code: "PAIRING_REQUIRED", reason: "metadata-upgrade", requestId: "r-3" } }),
      ...[502, "gateway_refused", "metadata_upgrade", "PAIRING_REQUIRED", /approve r-3$/],
    ],
    [
      "a token that was rotated",
      refusing({ code: "INVALID_REQUEST", details: { code: "AUTH_DEVICE_TOKEN_MISMATCH" } }),
      ...[502, "gateway_refused", "device_token_mismatch", "AUTH_DEVICE_TOKEN_MISMATCH", /rotated, revoked/],
    ],
    [
      "a lockout",
      refusing({ code: "INVALID_REQUEST", retryAfterMs: 297_000, details: { code: "AUTH_RATE_LIMITED" } }),
      ...[503, "gateway_unavailable", "auth_lockout", "AUTH_RATE_LIMITED", /opens again/],
    ],
  ];

  for (const [what, server, status, code, cause, detail, hint] of CASES) {
    test(`${what}: ${cause}`, async () => {
      const origin = await listen(server);
      const worker = await workerFor(`ws://127.0.0.1:${origin.port}`);
      try {
        const answer = await ask(worker);
        assert.deepEqual([answer.status, answer.code], [status, code]);
        assert.equal(answer.retryAfter, status !== 503 ? null : cause === "auth_lockout" ? "297" : "5");
        assert.deepEqual([answer.line.cause, answer.line.detail], [cause, detail]);
        assert.match(answer.line.hint, hint);
        // Nothing of the gateway's detail: not for the client, and none of its prose for the log.
        assert.ok(!answer.text.includes(answer.line.hint) && !answer.text.includes("s3cret"), answer.text);
        assert.ok(!JSON.stringify(answer.line).includes("s3cret"), JSON.stringify(answer.line));
      } finally {
        await worker.stop();
        await origin.stop();
      }
    });
  }

  test("nothing listens, no name, no TLS: the runtime tells two kinds apart", async () => {
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

  test("what never answers is given up after the time to connect, and a gateway that never speaks after that for the handshake", async () => {
    const dumb = await listen(createServer(() => {}));
    const silent = await listen(speaking(() => {}));
    const workers = await Promise.all([dumb, silent].map(({ port }) => workerFor(`ws://127.0.0.1:${port}`)));
    try {
      const [connect, handshake] = await Promise.all(workers.map((worker) => ask(worker)));
      assert.deepEqual([connect.status, connect.code, connect.line.cause], [504, "gateway_connect_timeout", "connect_timeout"]);
      assert.deepEqual([handshake.status, handshake.code, handshake.line.cause], [504, "gateway_handshake_timeout", "handshake_timeout"]);
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
      await Promise.all([dumb.stop(), silent.stop()]);
    }
  });
});

describe("what the upgrade carries", () => {
  test("the service token and the operator's headers go with it, and nowhere else", async () => {
    const seen = [];
    const origin = await listen(createHttpServer(({ headers }, response) => (seen.push(headers), response.writeHead(404).end())));
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
      for (const told of [text, ...worker.log]) assert.ok(!/s3cret|czNjcmV0|id\.access/.test(told), told);
    } finally {
      await worker.stop();
      await origin.stop();
    }
  });

  test("a redirect is not followed: no credential goes where it leads", async () => {
    const seen = [];
    const elsewhere = await listen(createHttpServer((request, response) => (seen.push(request.url), response.end())));
    const origin = await listen(answering(307, { location: `http://127.0.0.1:${elsewhere.port}/` }));
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
      const front = await startFront({ vars: setting });
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
  test("a bare token that is let in over it is refused: nobody said for whom it comes", async () => {
    const sim = await startSim({ args: ["--agent", "main"] });
    const worker = await workerFor("ws://gateway.invalid", { GATEWAY_TOKEN: sim.token }, { GATEWAY: new URL(sim.url).host });
    try {
      const response = await post(worker, phone, says("hi"));
      assert.deepEqual([response.status, (await response.json()).error.code], [502, "gateway_refused"]);
      const line = await until("the line is there", () => lines(worker)[0]);
      assert.deepEqual([line.end, line.cause], ["gateway_refused", "taken_for_local"]);
      assert.equal((await sim.journal()).runs.length, 0);
    } finally {
      await worker.stop();
      await sim.stop();
    }
  });

  test("it is the way to a gateway whose host nobody can find", async () => {
    const sim = await startSim({ args: ["--agent", "main"] });
    const address = new URL(sim.url).host;
    // Whatever the binding leads through, it does not say for whom: a bare token would be refused.
    const worker = await workerFor("ws://gateway.invalid/claw", { GATEWAY_TOKEN: sim.token, GATEWAY_SCOPES: "any" }, { GATEWAY: address });
    try {
      const response = await post(worker, phone, says("hi [[fake deltas=2]]"));
      assert.equal((await response.json()).choices[0].message.content, "w0 w1");
      const upgrade = JSON.stringify(await sim.journal());
      assert.ok(upgrade.includes("/claw") && upgrade.includes("gateway.invalid"), upgrade.slice(0, 2000));
    } finally {
      await worker.stop();
      await sim.stop();
    }
  });

  test("what goes wrong behind it is told apart, too", async () => {
    const origin = await listen(answering(302, LOGIN));
    const worker = await workerFor("wss://gateway.invalid", {}, { GATEWAY: `127.0.0.1:${origin.port}` });
    try {
      assert.equal((await ask(worker)).line.cause, "access_login");
    } finally {
      await worker.stop();
      await origin.stop();
    }
  });
});
