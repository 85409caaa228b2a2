// The gateway's side of the two Workers in JavaScript: the same handshake, device proof and
// requests as the Worker's own.

const SCOPES = ["operator.read", "operator.write"];
/** The bytes before the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b657004220420");

let device;

/** Imported once per isolate. */
async function makeDevice(env) {
  const seed = Uint8Array.fromBase64(env.DEVICE_KEY, { alphabet: "base64url" });
  const key = await crypto.subtle.importKey(
    "pkcs8",
    new Uint8Array([...PKCS8_PREFIX, ...seed]),
    "Ed25519",
    true,
    ["sign"],
  );
  const publicKey = (await crypto.subtle.exportKey("jwk", key)).x;
  const digest = await crypto.subtle.digest(
    "SHA-256",
    Uint8Array.fromBase64(publicKey, { alphabet: "base64url" }),
  );
  return { key, publicKey, id: new Uint8Array(digest).toHex() };
}

async function prove(env, { nonce, ts }) {
  device ??= makeDevice(env);
  const { key, publicKey, id } = await device;
  const payload = `v3|${id}|gateway-client|backend|operator|${SCOPES}|${ts}|${env.GATEWAY_TOKEN}|${nonce}|cloudflare-workers|`;
  const signature = new Uint8Array(
    await crypto.subtle.sign("Ed25519", key, new TextEncoder().encode(payload)),
  );
  return {
    id,
    publicKey,
    signature: signature.toBase64({ alphabet: "base64url", omitPadding: true }),
    signedAt: ts,
    nonce,
  };
}

/**
 * Connects, asks for a run, and resolves with `{ socket, runId, sessionKey }` once the gateway
 * accepted it. From then on `onFrame` gets every frame as it came, and `onClose` the end of the
 * connection.
 */
export async function begin(env, message, onFrame, onClose) {
  const upgrade = await fetch(env.GATEWAY_URL.replace(/^ws/, "http"), {
    headers: { upgrade: "websocket" },
    redirect: "manual",
  });
  const socket = upgrade.webSocket;
  if (!socket) throw new Error(`the gateway answered ${upgrade.status}`);
  const runId = crypto.randomUUID();
  const sessionKey = `agent:main:bench:${runId}`;
  const send = (id, method, params) =>
    socket.send(JSON.stringify({ type: "req", id, method, params }));

  const accepted = Promise.withResolvers();
  const shakeHands = async ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.event === "connect.challenge") {
      send("connect", "connect", {
        minProtocol: 3,
        maxProtocol: 4,
        client: {
          id: "gateway-client",
          version: "1",
          platform: "cloudflare-workers",
          mode: "backend",
        },
        role: "operator",
        scopes: SCOPES,
        caps: ["tool-events", "session-scoped-events"],
        auth: { token: env.GATEWAY_TOKEN },
        device: await prove(env, frame.payload),
        userAgent: "bench",
      });
    } else if (frame.type === "res" && !frame.ok) {
      accepted.reject(new Error(frame.error.code));
    } else if (frame.id === "connect") {
      if (frame.payload.protocol === 4)
        send("subscribe", "sessions.messages.subscribe", { key: sessionKey, agentId: "main" });
      send("agent", "agent", { message, agentId: "main", sessionKey, idempotencyKey: runId });
    } else if (frame.id === "agent") {
      socket.removeEventListener("message", shakeHands);
      socket.addEventListener("message", onFrame);
      accepted.resolve({ socket, runId, sessionKey });
    }
  };
  const lost = () => {
    accepted.reject(new Error("the gateway hung up"));
    onClose();
  };
  socket.addEventListener("message", shakeHands);
  socket.addEventListener("close", lost);
  socket.addEventListener("error", lost);
  socket.accept();
  return accepted.promise;
}
