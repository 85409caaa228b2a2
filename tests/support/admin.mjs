// A Worker whose hub makes keys, and requests of its administrator.

import { startFront } from "./front.mjs";
import { keyWith } from "./keys.mjs";

/** The administrator's key: its entry has no agents, because it runs none. */
export const ops = (() => {
  const made = keyWith("ops", "main", "");
  return { ...made, entry: made.entry.replace("agents=main", "scopes=admin").trim() };
})();

/** The secret with which a Worker makes keys. */
export const KEYS_SECRET = "0123456789abcdef0123456789abcdef";

/** Starts a Worker whose hub makes keys; `ops` is its administrator. */
export async function startAdminFront({ vars = {}, entries = [], ...options } = {}) {
  const front = await startFront({
    ...options,
    entries: [ops.entry, ...entries],
    vars: { KEYS_SECRET, ...vars },
  });
  return { ...front, ops };
}

/** Sends a request to the admin API. Returns `{ status, body }`. */
export async function admin(worker, { key }, method, path, body) {
  const response = await fetch(`${worker.url}/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${key}` },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/** Makes a key in the hub: `{ id, key }`. */
export async function createKey({ worker, ops }, id, fields = {}) {
  const { status, body } = await admin(worker, ops, "POST", "/keys", {
    id,
    agents: ["main"],
    ...fields,
  });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
  return { id, key: body.key };
}
