// Starts a real OpenClaw gateway with a scripted model.

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request as send } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { startGateway, warmUp } from "../../openclaw/gateway.mjs";
import { installOpenClaw } from "../../openclaw/install.mjs";
import { startProvider } from "../../openclaw/provider.mjs";
import { findNode } from "../../scripts/setup.mjs";
import { pairDevice } from "./front.mjs";
import { frameCounter } from "./wiretap.mjs";
import { startWorker } from "./worker.mjs";

/** The release under test. */
export const version = process.env.OPENCLAW_VERSION ?? "2026.9.6";
/** OpenClaw 2026.3 has protocol 3, 2026.9 protocol 4. */
export const protocol = version.startsWith("2026.3.") ? 3 : 4;

/** Returns a step's tool call. On 2026.9 `tool_call` calls all tools but the first few. */
export const call = (name, args) =>
  protocol === 4 ? { name: "tool_call", args: { id: name, args } } : { name, args };

/**
 * 2026.9 refuses forwarded requests of a proxy that it does not trust; 2026.3 would take its own
 * command line for remote.
 */
const TRUSTED = protocol === 4 ? ["127.0.0.1", "::1"] : undefined;

/**
 * Options of a gateway whose HTTP endpoint takes the tools of clients from a proxy that names them.
 * Without `toolSearch`, 2026.9 hides these tools from the model. 2026.3 has neither.
 */
export const FOR_TOOLS = {
  auth: "trusted-proxy",
  settings: { tools: { toolSearch: { enabled: true, mode: "directory" } } },
};

/**
 * Headers of a proxy's request in the name of a client, with the scopes of a device. Without
 * scopes, the client is the gateway's owner.
 */
export const proxied = (client) => ({
  "x-forwarded-user": client,
  "x-forwarded-for": "203.0.113.200",
  "x-forwarded-proto": "https",
  "x-openclaw-scopes": "operator.read,operator.write",
});

/**
 * Starts a gateway. `auth` is its mode: its secret is a token, or a password, which in the mode
 * `trusted-proxy` counts only on this host. It has the agents main and beta, and these further
 * `settings`; `onCall` is called with the messages that the model receives, and with its whole
 * call. A gateway that runs no agent needs no `warm` start, which costs 5 s.
 * @returns `{ gateway, provider, token, dir, restart, stop }`. After `restart`, `gateway` is
 *   another one at the same port, with the same files.
 */
export async function startOpenClaw({
  trustedProxies = TRUSTED,
  auth = "token",
  settings,
  onCall,
  warm = true,
} = {}) {
  const dir = mkdtempSync(join(tmpdir(), "clawfront-openclaw-"));
  const token = randomBytes(24).toString("hex");
  const started = { dir, token, auth };
  started.stop = async () => {
    await started.gateway?.stop();
    await started.provider?.close();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const node = findNode();
    const { entry } = await installOpenClaw(version, { node, log: () => {} });
    started.provider = await startProvider({ onCall });
    const options = {
      version,
      entry,
      node,
      dir,
      providerUrl: started.provider.url,
      auth,
      token,
      settings,
      trustedProxies,
      log: () => {},
    };
    started.gateway = await startGateway(options);
    started.restart = async () => {
      started.gateway = await startGateway({ ...options, port: started.gateway.port });
    };
    if (warm) await warmUp(started.gateway);
    return started;
  } catch (error) {
    await started.stop();
    throw error;
  }
}

/**
 * Starts a gateway behind a tunnel, without a Worker: for the gateway every client through the
 * tunnel is remote.
 * @returns `{ tunnel }` and the fields of `startOpenClaw`
 */
export async function startOpenClawTunnel(options) {
  const started = await startOpenClaw(options);
  const stopGateway = started.stop;
  started.stop = async () => {
    await started.tunnel?.close();
    await stopGateway();
  };
  started.tunnel = await startTunnel(started.gateway.port);
  return started;
}

/**
 * Starts the same with a Worker as it would be deployed: with a paired device and without the
 * shared secret, through the tunnel. For the gateway the Worker is a remote client. `entries` are
 * the client keys' entries, `vars` are further settings of the Worker, and the rest are options of
 * `startOpenClaw`.
 * @returns `{ worker, device }` and the fields of `startOpenClawTunnel`
 */
export async function startOpenClawFront({ entries, vars, ...options }) {
  return withWorker(await startOpenClawTunnel(options), { entries, vars });
}

/**
 * Adds a paired device and a Worker to a gateway behind a tunnel. The Worker's objects are in
 * `storage`, if there is one: `killWorker` ends it without notice, and `startWorker` starts the next
 * one over them.
 */
export async function withWorker(front, { entries, vars = {}, storage }) {
  const stopGateway = front.stop;
  front.stop = async () => {
    await front.worker?.stop();
    await stopGateway();
  };
  try {
    front.device = pairDevice(front.gateway.url, front.token, front.auth);
    const settings = {
      GATEWAY_URL: front.tunnel.url,
      DEVICE_KEY: front.device.device_key,
      DEVICE_TOKEN: front.device.device_token,
      CLIENT_KEYS: entries.join("\n"),
      ...vars,
    };
    front.startWorker = async () => {
      front.worker = await startWorker({ vars: settings, storage });
    };
    front.killWorker = async () => {
      process.kill(front.worker.pid, "SIGKILL");
      await front.worker.stop();
    };
    await front.startWorker();
    return front;
  } catch (error) {
    await front.stop();
    throw error;
  }
}

/**
 * Starts a tunnel to a port of this host. It adds the headers that real tunnels add, so that the
 * gateway receives a request from this host with a forwarding header. `framesReceived` is how many
 * frames the gateway has sent.
 */
export async function startTunnel(port) {
  const sockets = new Set();
  const pairs = new Map();
  let isShut = false;
  // Every tunnel has another address, because a gateway locks out one that fails to log in often.
  tunnels += 1;
  const forwarded = ["X-Forwarded-For", `203.0.113.${tunnels}`, "X-Forwarded-Proto", "https"];
  const tunnel = { connections: 0, framesReceived: 0 };
  const server = createServer((request, response) => {
    const headers = [...forwarded, ...request.rawHeaders];
    const { method, url: path } = request;
    const onward = send({ host: "127.0.0.1", port, method, path, headers, agent: false });
    onward.on("response", (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      response.flushHeaders();
      pipeline(answer, response, () => {});
    });
    // A gateway that refuses a long body answers first, then closes.
    onward.on("error", () => response.headersSent || response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  server.on("connection", (client) => {
    if (isShut) return client.destroy();
    tunnel.connections += 1;
    keep(client);
  });
  server.on("upgrade", ({ method, url, rawHeaders }, client, first) => {
    const origin = connect(port, "127.0.0.1");
    pairs.set(client, origin);
    keep(origin);
    client.on("close", () => pairs.delete(client) && origin.destroy());
    origin.on("close", () => {
      pairs.delete(client);
      client.destroy();
    });
    const headers = [...forwarded, ...rawHeaders];
    const lines = headers.map((part, at) => part + (at % 2 === 0 ? ": " : "\r\n"));
    origin.write(Buffer.from(`${method} ${url} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1"));
    origin.write(first);
    client.pipe(origin);
    origin.pipe(client);
    origin.on(
      "data",
      frameCounter(() => (tunnel.framesReceived += 1)),
    );
  });
  function keep(socket) {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  tunnel.url = `ws://127.0.0.1:${server.address().port}`;
  tunnel.cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  /** Cuts all connections, and accepts no others until it is opened again. */
  tunnel.shut = () => {
    isShut = true;
    tunnel.cut();
  };
  tunnel.open = () => {
    isShut = false;
  };
  /**
   * Holds the next frames of each client, and cuts its connection. Resolves, once that has
   * happened to one, with a function that sends the gateway its frames after all.
   */
  tunnel.hold = () =>
    new Promise((resolve) => {
      for (const [client, origin] of pairs) {
        const held = [];
        client.unpipe(origin);
        client.on("data", (bytes) => held.push(bytes)).resume();
        client.once("data", () =>
          setTimeout(() => {
            pairs.delete(client);
            client.destroy();
            resolve(() => origin.write(Buffer.concat(held)));
          }, HELD_MS),
        );
      }
    });
  tunnel.close = () => {
    tunnel.cut();
    return new Promise((resolve) => server.close(resolve));
  };
  return tunnel;
}

let tunnels = 0;

/** Time for which frames are held before their connection is cut. */
const HELD_MS = 100;

/**
 * Deletes the content of a session, as an administrator on the gateway's own host does. Protocol
 * 4 gives a local server the scope.
 */
export const resetSession = (url, token, key) => asked(url, token, "sessions.reset", { key });

/** Returns the keys of the gateway's sessions that are not archived. Protocol 4. */
export async function listSessions(url, token) {
  const { sessions } = await asked(url, token, "sessions.list", {});
  return sessions.map(({ key }) => key);
}

/** Makes one request as an administrator on the gateway's own host, and returns its payload. */
async function asked(url, token, method, params) {
  const socket = new WebSocket(url);
  const ask = (id, method, params) =>
    socket.send(JSON.stringify({ type: "req", id, method, params }));
  const client = { id: "gateway-client", version: "0", platform: "test", mode: "backend" };
  return await new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error("the gateway is closed"));
    socket.onclose = ({ code }) => reject(new Error(`the gateway closed the connection: ${code}`));
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.event === "connect.challenge") {
        ask("connect", "connect", {
          minProtocol: 4,
          maxProtocol: 4,
          client,
          role: "operator",
          scopes: ["operator.admin"],
          auth: { token },
        });
      }
      if (frame.type === "res" && !frame.ok)
        reject(new Error(`${frame.id}: ${frame.error.code} ${frame.error.message}`));
      if (frame.id === "connect" && frame.ok) ask("asked", method, params);
      if (frame.id === "asked" && frame.ok) resolve(frame.payload);
    };
  }).finally(() => socket.close());
}
