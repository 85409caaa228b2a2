// Makes keys with further fields for a Worker.

import { lines, newKey, startFront, until } from "./front.mjs";

/** Makes a key and adds fields to its entry, as an operator may by hand. */
export function keyWith(id, agents, fields) {
  const made = newKey(id, agents);
  return { ...made, entry: `${made.entry} ${fields}` };
}

/** Starts a Worker with these keys in front of the simulated gateway. */
export const frontWith = (keys, options = {}) =>
  startFront({
    ...options,
    vars: { ...options.vars, CLIENT_KEYS: keys.map(({ entry }) => entry).join("\n") },
  });

export const get = (worker, { key }, path, headers = {}) =>
  fetch(`${worker.url}${path}`, { headers: { authorization: `Bearer ${key}`, ...headers } });

/** Returns an error response: `{ status, code, text, headers }`. */
export async function refused(response) {
  const text = await response.text();
  return {
    status: response.status,
    code: JSON.parse(text).error.code,
    text,
    headers: response.headers,
  };
}

/** Waits for the line of the log about a response. */
export const lineOf = (worker, response) =>
  until("the line is there", () =>
    lines(worker).find(({ request_id }) => request_id === response.headers.get("x-request-id")),
  );

export const day = (offset) =>
  new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);
