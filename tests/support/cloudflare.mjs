// Imitates Cloudflare's API for the real wrangler.

import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { ROOT } from "../../scripts/paths.mjs";
import { findNode } from "../../scripts/setup.mjs";

export const WRANGLER = join(ROOT, "node_modules/wrangler");

/** Returns wrangler's environment: it writes below `home` only, and sends no reports. */
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
 * Puts wrangler into `cwd`, behind a script that writes down how it is called (`argv`, `env`), and
 * returns the environment in which it asks `api`.
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

/**
 * Stands in for Cloudflare's API: one Worker's code and secrets, and a list of the requests. In
 * an `empty` account the Worker does not exist until its code is uploaded; `api.modules` are then
 * its files, by name, `api.files` the paths of its static files, and `api.version` is the id of the
 * served version.
 */
export async function startCloudflare({ empty = false } = {}) {
  const api = {
    secrets: {},
    refuse: false,
    modules: undefined,
    version: empty ? undefined : randomUUID(),
    /** The paths of the static files, and the hashes of the contents that were uploaded. */
    files: [],
    contents: new Set(),
  };
  const requests = [];
  const change = () => {
    api.version = randomUUID();
    api.changed?.();
  };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const type = request.headers["content-type"] ?? "";
    const { pathname } = new URL(request.url, "http://x");
    const body =
      bytes.length > 0 && /^application\/(.*\+)?json/.test(type) ? JSON.parse(bytes) : null;
    requests.push({ method: request.method, path: pathname, body });
    const answer = (status, result, errors = []) =>
      response
        .writeHead(status, { "content-type": "application/json" })
        .end(JSON.stringify({ success: errors.length === 0, errors, messages: [], result }));
    if (pathname.endsWith("/workers/assets/upload")) {
      if (request.headers.authorization !== "Bearer assets-token") return answer(403, null);
      const form = await new Response(bytes, { headers: { "content-type": type } }).formData();
      for (const hash of form.keys()) api.contents.add(hash);
      return answer(201, { jwt: "all-are-there" });
    }
    if (request.headers.authorization !== "Bearer api-token")
      return answer(403, null, [{ code: 9109, message: "Unauthorized" }]);
    const [, kind, name, part] =
      pathname.match(/\/workers\/(\w+)(?:\/([^/]+)(?:\/([^/]+))?)?$/) ?? [];
    if (kind === "subdomain") return answer(200, { subdomain: "sub" });
    if (api.refuse && request.method !== "GET")
      return answer(403, null, [{ code: 10000, message: "Authentication error" }]);
    if (kind === "scripts" && !name)
      return answer(
        200,
        api.version === undefined ? [] : [{ id: WORKER, migration_tag: api.migration }],
      );
    if (part === "assets-upload-session") {
      api.files = Object.keys(body.manifest);
      const hashes = new Set(Object.values(body.manifest).map(({ hash }) => hash));
      const missing = [...hashes].filter((hash) => !api.contents.has(hash));
      return answer(200, { jwt: "assets-token", buckets: missing.length > 0 ? [missing] : [] });
    }
    if (kind === "scripts" && !part && request.method === "PUT") {
      api.modules = await modulesIn(bytes, type);
      api.migration = (await metadataIn(bytes, type)).migrations?.new_tag ?? api.migration;
      change();
      return answer(200, {
        id: name,
        etag: api.version,
        deployment_id: api.version.replaceAll("-", ""),
        startup_time_ms: 1,
        entry_point: "index.js",
      });
    }
    if (name === "nowhere" || api.version === undefined)
      return answer(404, null, [
        {
          code: kind === "services" ? 10090 : 10007,
          message: "This Worker does not exist on your account.",
        },
      ]);
    if (kind === "services")
      return answer(200, {
        id: name,
        default_environment: {
          environment: "production",
          script: { id: name, tag: "tag", last_deployed_from: "wrangler" },
        },
      });
    if (kind === "workers")
      return answer(200, { id: name, name, subdomain: { enabled: true, previews_enabled: false } });
    if (part === "versions" && request.method === "POST") {
      api.modules = await modulesIn(bytes, type);
      return answer(200, {
        id: randomUUID(),
        startup_time_ms: 1,
        metadata: { has_preview: false },
        resources: { script: { etag: "etag", handlers: ["fetch"] } },
      });
    }
    if (part === "deployments" && request.method === "POST") {
      api.version = body.versions[0].version_id;
      api.changed?.();
      return answer(200, { id: "deployment" });
    }
    if (part === "deployments")
      return answer(200, {
        deployments: [
          {
            id: "deployment",
            source: "wrangler",
            strategy: "percentage",
            versions: [{ version_id: api.version, percentage: 100 }],
          },
        ],
      });
    if (part === "settings")
      return answer(200, {
        bindings: Object.keys(api.secrets).map((name) => ({ name, type: "secret_text" })),
      });
    if (request.method === "GET")
      return answer(
        200,
        Object.keys(api.secrets).map((name) => ({ name, type: "secret_text" })),
      );
    if (part !== "secrets-bulk") return answer(200, {});
    for (const [name, secret] of Object.entries(body.secrets)) {
      if (secret === null) delete api.secrets[name];
      else api.secrets[name] = secret.text;
    }
    change();
    answer(200, {});
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  api.url = `http://127.0.0.1:${server.address().port}`;
  /** Returns the requests since the last call. */
  api.take = () => requests.splice(0);
  api.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return api;
}

/** The Worker's name in wrangler.toml. */
const WORKER = "clawfront";

const formIn = (bytes, type) =>
  new Response(bytes, { headers: { "content-type": type } }).formData();

const metadataIn = async (bytes, type) => JSON.parse((await formIn(bytes, type)).get("metadata"));

/** Returns the modules of an upload by name, the main one first. */
async function modulesIn(bytes, type) {
  const form = await formIn(bytes, type);
  const main = JSON.parse(form.get("metadata")).main_module;
  const parts = [...form].filter(
    ([name, part]) => typeof part !== "string" && !name.endsWith(".map"),
  );
  const modules = await Promise.all(
    parts.map(async ([name, part]) => [
      name.replace(/^\.\//, ""),
      Buffer.from(await part.arrayBuffer()),
    ]),
  );
  return new Map(modules.sort(([name]) => (name === main ? -1 : 1)));
}
