// Makes keys with further fields, and Workers that have them.

import { lines, newKey, startFront, until } from "./front.mjs";

/** Makes a key whose entry has further fields, written by hand as an operator may. */
export function keyWith(id, agents, fields) {
  const made = newKey(id, agents);
  return { ...made, entry: `${made.entry} ${fields}` };
}

/** A Worker with these keys in front of a gateway. */
export const frontWith = (keys, options = {}) =>
  startFront({
    ...options,
    vars: { ...options.vars, CLIENT_KEYS: keys.map(({ entry }) => entry).join("\n") },
  });

export const get = (worker, { key }, path, headers = {}) =>
  fetch(`${worker.url}${path}`, { headers: { authorization: `Bearer ${key}`, ...headers } });

/** Status and code of an error; whatever else it says is compared by its text. */
export async function refused(response) {
  const text = await response.text();
  return {
    status: response.status,
    code: JSON.parse(text).error.code,
    text,
    headers: response.headers,
  };
}

/** The line that a response left in the log. */
export const lineOf = (worker, response) =>
  until("the line is there", () =>
    lines(worker).find(({ request_id }) => request_id === response.headers.get("x-request-id")),
  );

export const day = (offset) =>
  new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);
