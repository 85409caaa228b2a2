// Starts a Worker in front of the simulated gateway and sends it requests.

import { execFileSync } from "node:child_process";
import OpenAI from "openai";
import { CLI } from "../../scripts/paths.mjs";
import { awaitRoomInDay } from "./midnight.mjs";
import { startSim } from "./sim.mjs";
import { startWorker } from "./worker.mjs";

/**
 * Makes a client key, which is in no file: `{ id, key, entry }`. `fields` are further options of
 * `clawfront keys new`.
 */
export function newKey(id, agents, ...fields) {
  return clawfront(["keys", "new", "--file", "-", "--id", id, "--agents", agents, ...fields]);
}

/**
 * The settings for a test that scripts connections: each request that comes alone makes its own,
 * because none is kept after the last run.
 */
export const EACH_CONNECTS = { LINK_IDLE: "0" };

/** Makes a device: `{ device_id, device_key }`. */
export const newDevice = () => clawfront(["device", "new"]);

/**
 * Pairs a device with the gateway on this host: `{ device_id, device_key, device_token }`. `auth` is
 * the gateway's mode: in each but the first, its secret is a password.
 */
export const pairDevice = (url, secret, auth = "token") =>
  clawfront(["device", "pair", "--url", url], {
    [auth === "token" ? "GATEWAY_TOKEN" : "GATEWAY_PASSWORD"]: secret,
  });

function clawfront(args, env = {}) {
  return JSON.parse(
    execFileSync(CLI, [...args, "--json"], {
      env: { ...process.env, ...env },
      encoding: "utf8",
      input: "",
    }),
  );
}

/**
 * Starts a simulated gateway and a Worker in front of it, known to it as a device. Both are stopped
 * by `stop`. `entries` are further client keys, `build` is where another Worker than the deployed
 * one is, `storage` is a folder for its Durable Objects, and `workerOptions` are further options of
 * `startWorker`.
 * @returns `phone` may reach main (its default) and beta, `boss` every agent and every session,
 *   `guest` beta alone.
 */
export async function startFront({
  protocol = 4,
  simArgs = [],
  vars = {},
  edgeVars,
  entries = [],
  build,
  storage,
  withConsole,
  workerOptions = {},
} = {}) {
  await awaitRoomInDay();
  const sim = await startSim({
    protocol,
    args: ["--agent", "main", "--agent", "beta", "--agent", "secret", ...simArgs],
  });
  const keys = {
    phone: newKey("phone", "main,beta", "--default", "main"),
    boss: newKey("boss", "*", "--sessions", "any"),
    guest: newKey("guest", "beta"),
  };
  const start = {
    ...workerOptions,
    build,
    storage,
    withConsole,
    edgeVars,
    vars: {
      GATEWAY_URL: sim.url,
      GATEWAY_TOKEN: sim.token,
      DEVICE_KEY: newDevice().device_key,
      CLIENT_KEYS: [...Object.values(keys).map(({ entry }) => entry), ...entries].join("\n"),
      ...vars,
    },
  };
  const worker = await startWorker(start).catch(async (error) => {
    // Else the file of tests would not end.
    await sim.stop();
    throw error;
  });
  return {
    sim,
    worker,
    ...keys,
    /**
     * Starts another Worker with these settings and options, which shares no memory with this one.
     */
    another: (vars = {}, options = {}) =>
      startWorker({ ...start, ...options, vars: { ...start.vars, ...vars } }),
    stop: async () => {
      await worker.stop();
      await sim.stop();
    },
  };
}

/** Returns the official SDK at its default settings, but without retries: tests count them. */
export function sdk(worker, { key }, options = {}) {
  return new OpenAI({ baseURL: `${worker.url}/v1`, apiKey: key, maxRetries: 0, ...options });
}

/**
 * Sends `POST /v1/chat/completions` without an SDK; a body that is not a string is written as
 * JSON.
 */
export function post(worker, { key }, body, { headers = {}, ...init } = {}) {
  return fetch(`${worker.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });
}

/** Returns a request's body with one user message. */
export const says = (content, fields = {}) => ({
  model: "openclaw",
  messages: [{ role: "user", content }],
  ...fields,
});

/** Returns all text of a streamed completion, and the other fields of its chunks. */
export async function collect(stream) {
  const seen = { text: "", ids: new Set(), finish: [], usage: undefined, roles: [] };
  for await (const chunk of stream) {
    seen.ids.add(`${chunk.id} ${chunk.created} ${chunk.model}`);
    if (chunk.usage) seen.usage = chunk.usage;
    for (const { delta, finish_reason } of chunk.choices) {
      if (delta.role) seen.roles.push(delta.role);
      seen.text += delta.content ?? "";
      if (finish_reason) seen.finish.push(finish_reason);
    }
  }
  return seen;
}

/** Returns the events of a stream that was read without an SDK, parsed, without `[DONE]`. */
export const eventsOf = (stream) =>
  stream
    .split("\n")
    .filter((line) => line.startsWith("data: ") && line !== "data: [DONE]")
    .map((line) => JSON.parse(line.slice("data: ".length)));

/** Returns the text of these events of a completion. */
export const textOf = (events) =>
  events.map(({ choices }) => choices[0]?.delta.content ?? "").join("");

/** Polls until `probe` returns something, or fails with the name of the awaited thing. */
export async function until(what, probe, limitMs = 30_000) {
  const giveUpAt = performance.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > giveUpAt) throw new Error(`waited ${limitMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const POLL_MS = 20;

const logged = (worker) =>
  worker.log.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));

/**
 * Returns the Worker's log lines about ended requests, parsed; workerd's own lines are left out.
 */
export const lines = (worker) => logged(worker).filter(({ event }) => event !== "begin");

/** Returns the lines about runs that began. */
export const beginnings = (worker) => logged(worker).filter(({ event }) => event === "begin");

/** Returns the client's instructions in a system prompt without their frame. */
export const unframed = (text) =>
  text.match(/<client-instructions (\w{16})>\n([\s\S]*)\n<\/client-instructions \1>/)?.[2];
