// Cloudflare's API in the place of Cloudflare, and the real wrangler that asks it.

import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { ROOT } from "../../scripts/paths.mjs";
import { findNode } from "../../scripts/setup.mjs";

export const WRANGLER = join(ROOT, "node_modules/wrangler");

/** wrangler as it runs here: nothing of it in this user's folders, no reports, no look-ups. */
export function wranglerEnv(home) {
  return {
    HOME: home,
    XDG_CONFIG_HOME: join(home, ".config"),
    CI: "1",
    NO_COLOR: "1",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_LOG_PATH: join(home, "logs"),
    WRANGLER_REGISTRY_PATH: join(home, "registry"),
    WRANGLER_CACHE_DIR: join(home, "cache"),
  };
}

/**
 * Puts wrangler into `cwd`, behind a script that writes down how it is called (`argv`, `env`), and returns the environment in which it asks `api`.
 */
export function wranglerFor(cwd, api) {
  mkdirSync(join(cwd, "node_modules/.bin"), { recursive: true });
  const script = `#!/bin/sh\nprintf '%s\\n' "$*" >> "${cwd}/argv"\nenv >> "${cwd}/env"\nexec "${findNode()}" "${WRANGLER}/bin/wrangler.js" "$@"\n`;
  writeFileSync(join(cwd, "node_modules/.bin/wrangler"), script, { mode: 0o755 });
  return {
    ...wranglerEnv(cwd),
    CLOUDFLARE_API_BASE_URL: api.url,
    CLOUDFLARE_API_TOKEN: "api-token",
    CLOUDFLARE_ACCOUNT_ID: "account",
    // The noisiest that a user can have set: it must not get through.
    WRANGLER_LOG: "debug",
    WRANGLER_LOG_SANITIZE: "false",
  };
}

/** Stands in for Cloudflare's API: one Worker's secrets, and a list of what was asked. */
export async function startCloudflare() {
  const api = { secrets: {}, refuse: false };
  let requests = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const { pathname } = new URL(request.url, "http://x");
    const body = text ? JSON.parse(text) : null;
    requests.push({ method: request.method, path: pathname, body });
    const answer = (status, result, errors = []) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ success: errors.length === 0, errors, messages: [], result }));
    if (request.headers.authorization !== "Bearer api-token") return answer(403, null, [{ code: 9109, message: "Unauthorized" }]);
    if (pathname.includes("/nowhere/")) return answer(404, null, [{ code: 10007, message: "This Worker does not exist on your account." }]);
    if (request.method === "GET") return answer(200, Object.keys(api.secrets).map((name) => ({ name, type: "secret_text" })));
    if (api.refuse) return answer(403, null, [{ code: 10000, message: "Authentication error" }]);
    for (const [name, secret] of Object.entries(body.secrets)) {
      if (secret === null) delete api.secrets[name];
      else api.secrets[name] = secret.text;
    }
    answer(200, {});
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  api.url = `http://127.0.0.1:${server.address().port}`;
  /** What was asked since the last time. */
  api.take = () => requests.splice(0);
  api.stop = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return api;
}
