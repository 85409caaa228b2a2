// Starts servers that answer instead of a gateway.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:net";

/** Starts a server on a free port of this host. */
export async function listen(server) {
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

/** Returns a server that answers every request in this way, an upgrade too. */
export const answering = (status, headers = {}, body = "") =>
  createHttpServer((_, response) => response.writeHead(status, headers).end(body));

/**
 * Returns a server that passes an upgrade on to the gateway at `url`, and answers every other
 * request itself: `answer` is called with the request and the text of its body, and returns
 * `[status, body]`.
 */
export function withEndpoint(url, answer) {
  const server = createHttpServer(async (request, response) => {
    const [status, body] = answer(request, (await request.setEncoding("utf8").toArray()).join(""));
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  server.on("upgrade", ({ method, url: path, rawHeaders }, socket) => {
    const origin = connect(new URL(url).port, "127.0.0.1");
    for (const [one, other] of [
      [socket, origin],
      [origin, socket],
    ])
      one.on("error", () => {}).on("close", () => other.destroy());
    const lines = rawHeaders.map((part, at) => part + (at % 2 === 0 ? ": " : "\r\n"));
    origin.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    socket.pipe(origin).pipe(socket);
  });
  return server;
}

const error = (type, message) => ({ error: { message, type } });

/**
 * Answers as the gateway's HTTP endpoint does in the mode `trusted-proxy`. Source: OpenClaw
 * 2026.9.6, measured.
 */
export function trustedProxy({ method, url, headers }, text) {
  if (url !== "/v1/chat/completions") return [404, error("not_found", "Not found")];
  if (method !== "POST") return [405, error("invalid_request_error", "Method not allowed")];
  if (!headers["x-forwarded-for"])
    return [403, error("proxy_attribution_required", "Proxy client attribution is required.")];
  if (!headers["x-forwarded-user"] || !headers["x-forwarded-proto"])
    return [401, error("unauthorized", "Unauthorized")];
  return withUser(headers, text);
}

/** Answers as it does in the mode `token`. */
export const sharedToken =
  (token) =>
  ({ headers }, text) =>
    headers.authorization === `Bearer ${token}`
      ? withUser(headers, text)
      : [401, error("unauthorized", "Unauthorized")];

/** Answers the request of a sender that is let in. */
export function withUser(headers, text) {
  if (!/(^|,)operator\.write(,|$)/.test(headers["x-openclaw-scopes"]))
    return [403, error("forbidden", "missing scope: operator.write")];
  if (headers["x-openclaw-agent-id"] !== "main")
    return [400, error("invalid_request_error", "Multiple agents are configured.")];
  const { messages, stream } = JSON.parse(text);
  return messages.length === 0 && stream
    ? [400, error("invalid_request_error", "Missing user message in `messages`.")]
    : [500, {}];
}

/**
 * Returns a server that opens a WebSocket, and then calls `act` with `{ send, received, close }`.
 */
export function webSocketServer(act) {
  const server = createHttpServer();
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.on("error", () => {});
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    act({
      send: (value) => socket.write(frame(0x1, Buffer.from(JSON.stringify(value)))),
      close: (code) => socket.end(frame(0x8, Buffer.from([code >> 8, code & 0xff]))),
      received: () => once(socket, "data"),
    });
  });
  return server;
}

/** Returns a frame of a server. Source: RFC 6455, section 5.2. */
function frame(opcode, payload) {
  const length =
    payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 0xff];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length]), payload]);
}

const CHALLENGE = {
  type: "event",
  event: "connect.challenge",
  payload: { nonce: "n", ts: 1795374173763 },
};

/** Returns a gateway that refuses every connection. */
const refusing = (error, closeCode = 1008) =>
  webSocketServer(async ({ send, close, received }) => {
    send(CHALLENGE);
    await received();
    send({ type: "res", id: "1", ok: false, error: { message: "s3cret detail", ...error } });
    close(closeCode);
  });

/** Returns a gateway that closes the connection after `connect`. */
const closing = (closeCode) =>
  webSocketServer(async ({ send, close, received }) => {
    send(CHALLENGE);
    await received();
    close(closeCode);
  });

export const LOGIN = {
  location: "https://team.cloudflareaccess.com/cdn-cgi/access/login/gw.example.com?kid=0",
};
const HTML = { "content-type": "text/html" };

/** The server, the client's error, and the cause, detail and hint of the log. */
export const CASES = [
  [
    "Cloudflare Access",
    () => answering(302, LOGIN),
    502,
    "gateway_refused",
    "access_login",
    "302",
    /service token/,
  ],
  [
    "another redirect",
    () => answering(301, { location: "https://sso.example.com/" }),
    502,
    "gateway_refused",
    "redirected",
    "301",
    /reach the gateway itself/,
  ],
  [
    "a web page",
    () => answering(200, HTML, "<title>s3cret</title>"),
    502,
    "gateway_refused",
    "html_page",
    "200",
    /web page/,
  ],
  [
    "a proxy that drops Upgrade",
    () => answering(200, HTML, "<title>OpenClaw Control</title>"),
    502,
    "gateway_refused",
    "websocket_disabled",
    "200",
    /Upgrade/,
  ],
  [
    "a server that misses Upgrade",
    () => answering(400, {}, "Bad Request"),
    502,
    "gateway_refused",
    "websocket_disabled",
    "400",
    /Upgrade/,
  ],
  [
    "another server",
    () => answering(404),
    502,
    "gateway_refused",
    "not_a_gateway",
    "404",
    /correct GATEWAY_URL/,
  ],
  [
    "426",
    () => answering(426),
    502,
    "gateway_refused",
    "not_a_gateway",
    "426",
    /correct GATEWAY_URL/,
  ],
  [
    "a firewall",
    () => answering(403, HTML, "<h1>s3cret</h1>"),
    502,
    "gateway_refused",
    "forbidden",
    "403",
    /GATEWAY_HEADERS/,
  ],
  ["a login", () => answering(401), 502, "gateway_refused", "forbidden", "401", /GATEWAY_HEADERS/],
  [
    "a gateway that does not trust its proxy",
    () => answering(403, {}, '{"error":{"message":"s3cret","type":"proxy_attribution_required"}}'),
    ...[502, "gateway_refused", "proxy_attribution_required", "403", /trustedProxies/],
  ],
  [
    "a proxy with nothing behind it",
    () => answering(502),
    503,
    "gateway_unavailable",
    "origin_down",
    "502",
    /start the gateway/,
  ],
  [
    "Cloudflare, of an origin that refuses",
    () => answering(521, {}, "error code: 521"),
    502,
    "gateway_unreachable",
    "connection_refused",
    undefined,
    /start the gateway/,
  ],
  [
    "Cloudflare, of a certificate",
    () => answering(526, {}, "error code: 526"),
    502,
    "gateway_unreachable",
    "tls_failure",
    undefined,
    /certificate/,
  ],
  [
    "Cloudflare, of a name without an address",
    () => answering(530, {}, "error code: 1016"),
    502,
    "gateway_unreachable",
    "dns_failure",
    undefined,
    /DNS/,
  ],
  [
    "Cloudflare, of a tunnel that is down",
    () => answering(530, {}, "error code: 1033"),
    503,
    "gateway_unavailable",
    "origin_down",
    "530",
    /tunnel/,
  ],
  [
    "a server that hangs up",
    () => createServer((socket) => socket.destroy()),
    502,
    "gateway_unreachable",
    "connection_failed",
    undefined,
    /scheme/,
  ],
  [
    "a server that closes before the challenge",
    () => webSocketServer(({ close }) => close(1000)),
    502,
    "gateway_closed",
    "closed_before_challenge",
    "1000",
    /before the gateway spoke/,
  ],
  [
    "a server that closes in the handshake",
    () => closing(1000),
    502,
    "gateway_closed",
    "closed_in_handshake",
    "1000",
    /log/,
  ],
  [
    "a device that was taken out",
    () => closing(4001),
    502,
    "gateway_closed",
    "device_removed",
    "4001",
    /pair the device again/,
  ],
  [
    "a gateway that restarts",
    () => closing(1012),
    503,
    "gateway_unavailable",
    "gateway_draining",
    "1012",
    /wait/,
  ],
  [
    "another protocol",
    () => closing(1002),
    502,
    "gateway_closed",
    "protocol_mismatch",
    "1002",
    /protocol 3 nor protocol 4/,
  ],
  [
    "a challenge without a nonce",
    () => webSocketServer(({ send }) => send({ ...CHALLENGE, payload: {} })),
    ...[
      502,
      "gateway_protocol_error",
      "protocol_error",
      "connect.challenge has no nonce",
      /another program/,
    ],
  ],
  [
    "a clock that is wrong",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "DEVICE_AUTH_SIGNATURE_EXPIRED" } }),
    ...[502, "gateway_refused", "clock_skew", "DEVICE_AUTH_SIGNATURE_EXPIRED", /clock/],
  ],
  [
    "an unpaired device",
    () =>
      refusing({
        code: "NOT_PAIRED",
        details: { code: "PAIRING_REQUIRED", reason: "not-paired", requestId: "6dec0fd8-1" },
      }),
    ...[
      502,
      "gateway_refused",
      "device_unpaired",
      "PAIRING_REQUIRED",
      /run: openclaw devices approve 6dec0fd8-1$/,
    ],
  ],
  [
    "a device with too few scopes",
    () =>
      refusing({
        code: "NOT_PAIRED",
        details: { code: "PAIRING_REQUIRED", reason: "scope-upgrade", requestId: "r-2" },
      }),
    ...[
      502,
      "gateway_refused",
      "scope_upgrade",
      "PAIRING_REQUIRED",
      /less than operator.read and operator.write\b.*: .*approve r-2$/,
    ],
  ],
  [
    "a device that was something else",
    () =>
      refusing({
        code: "NOT_PAIRED",
        details: { code: "PAIRING_REQUIRED", reason: "metadata-upgrade", requestId: "r-3" },
      }),
    ...[502, "gateway_refused", "metadata_upgrade", "PAIRING_REQUIRED", /approve r-3$/],
  ],
  [
    "a token that was rotated",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "AUTH_DEVICE_TOKEN_MISMATCH" } }),
    ...[
      502,
      "gateway_refused",
      "device_token_mismatch",
      "AUTH_DEVICE_TOKEN_MISMATCH",
      /rotated, revoked/,
    ],
  ],
  [
    "a lockout",
    () =>
      refusing({
        code: "INVALID_REQUEST",
        retryAfterMs: 297_000,
        details: { code: "AUTH_RATE_LIMITED" },
      }),
    ...[503, "gateway_unavailable", "auth_lockout", "AUTH_RATE_LIMITED", /opens again/],
  ],
  [
    "a gateway that wants a device",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "DEVICE_IDENTITY_REQUIRED" } }),
    ...[502, "gateway_refused", "device_required", "DEVICE_IDENTITY_REQUIRED", /DEVICE_KEY/],
  ],
  [
    "a proof that is refused",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "DEVICE_AUTH_SIGNATURE_INVALID" } }),
    ...[
      502,
      "gateway_refused",
      "device_proof_refused",
      "DEVICE_AUTH_SIGNATURE_INVALID",
      /make a new device/,
    ],
  ],
  [
    "another token",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "AUTH_TOKEN_MISMATCH" } }),
    ...[502, "gateway_refused", "gateway_token_mismatch", "AUTH_TOKEN_MISMATCH", /GATEWAY_TOKEN/],
  ],
  [
    "another password",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "AUTH_PASSWORD_MISMATCH" } }),
    ...[
      502,
      "gateway_refused",
      "gateway_password_mismatch",
      "AUTH_PASSWORD_MISMATCH",
      /GATEWAY_PASSWORD/,
    ],
  ],
  [
    "a gateway that takes us for a page",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "CONTROL_UI_ORIGIN_NOT_ALLOWED" } }),
    ...[502, "gateway_refused", "origin_not_allowed", "CONTROL_UI_ORIGIN_NOT_ALLOWED", /Origin/],
  ],
  [
    "a gateway that starts",
    () =>
      refusing(
        { code: "UNAVAILABLE", retryAfterMs: 5_000, details: { reason: "startup-sidecars" } },
        1013,
      ),
    ...[503, "gateway_unavailable", "gateway_starting", "UNAVAILABLE", /wait/],
  ],
  [
    "an unknown refusal",
    () => refusing({ code: "INVALID_REQUEST", details: { code: "SOMETHING_NEW" } }),
    502,
    "gateway_refused",
    "refused",
    "SOMETHING_NEW",
    /log/,
  ],
];
