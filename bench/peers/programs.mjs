// Starts each peer as an operator who cares about speed would: one worker each, connections to the
// gateway kept, nothing buffered, no log of requests. Each is `{ label, version(), start({ port,
// token, dir }) }`; `port` is the gateway's, `token` its operator token. A started peer is `{ pid,
// url, key, headers, log, stop }`.
//
// No peer inherits our environment, which may have a developer's proxies and API keys.

import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { collect, run, start, stop } from "../../scripts/processes.mjs";
import { pythonEnvironment } from "../../scripts/python.mjs";
import { findNode } from "../../scripts/setup.mjs";
import { nginx } from "../../tests/support/nginx.mjs";
import { freePorts } from "../../tests/support/ports.mjs";
import {
  caddy,
  LITELLM_CONFIG,
  LITELLM_PYTHON,
  PORTKEY_LOOPBACK,
  PORTKEY_PACKAGE,
} from "./install.mjs";

const NGINX = {
  label: "nginx",
  version: async () => (await versionPrinted(nginx(), ["-v"])).match(/nginx\/(\S+)/)[1],
  async start({ port, token, dir }) {
    const [own] = await freePorts(1);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (kind) => `${kind}_temp_path ${join(dir, kind)};`,
    );
    const config = join(dir, "nginx.conf");
    const log = join(dir, "nginx.log");
    writeFileSync(
      config,
      `daemon off; pid ${join(dir, "nginx.pid")}; worker_processes 1;
events { }
http {
  access_log off; tcp_nodelay on; keepalive_requests 100000; ${temporary.join(" ")}
  upstream gateway { server 127.0.0.1:${port}; keepalive 16; }
  server {
    listen 127.0.0.1:${own};
    client_max_body_size 64m;
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`,
    );
    return peer(own, token, nginx(), ["-p", dir, "-c", config, "-e", log], { env: bare() });
  },
};

const CADDY = {
  label: "caddy",
  version: async () => (await versionPrinted(await caddy(), ["version"])).match(/v?(\d\S*)/)[1],
  async start({ port, token, dir }) {
    const [own] = await freePorts(1);
    const config = join(dir, "Caddyfile");
    writeFileSync(
      config,
      `{
  admin off
  auto_https off
}
http://127.0.0.1:${own} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${port} {
    # Events are handed on as they come; with flush_interval -1 caddy would let the gateway go on for a client that has left.
    # The tunnel says already for whom it forwards.
    header_up -X-Forwarded-For
    header_up -X-Forwarded-Proto
    header_up -X-Forwarded-Host
    transport http {
      versions 1.1
      keepalive_idle_conns_per_host 16
    }
  }
}
`,
    );
    const env = { ...bare(), HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir };
    return peer(own, token, await caddy(), ["run", "--config", config, "--adapter", "caddyfile"], {
      env,
    });
  },
};

const PORTKEY = {
  label: "Portkey",
  version: async () =>
    JSON.parse(readFileSync(join(PORTKEY_PACKAGE, "package.json"), "utf8")).version,
  async start({ port, token }) {
    const [own] = await freePorts(1);
    const program = [
      "--import",
      PORTKEY_LOOPBACK,
      join(PORTKEY_PACKAGE, "build/start-server.js"),
      "--headless",
      `--port=${own}`,
    ];
    const headers = {
      "x-portkey-provider": "openai",
      "x-portkey-custom-host": `http://127.0.0.1:${port}/v1`,
    };
    return Object.assign(
      peer(own, token, findNode(), program, { env: { ...bare(), NODE_ENV: "production" } }),
      { headers },
    );
  },
};

const LITELLM = {
  label: "LiteLLM",
  version: async () =>
    (
      await run(
        LITELLM_PYTHON,
        ["-c", "import importlib.metadata as m; print(m.version('litellm'))"],
        { env: pythonEnvironment() },
      )
    ).trim(),
  async start({ port, token, dir }) {
    const [own] = await freePorts(1);
    const key = `sk-${randomBytes(24).toString("hex")}`;
    const env = {
      ...bare(),
      ...(pythonEnvironment().LD_LIBRARY_PATH && {
        LD_LIBRARY_PATH: pythonEnvironment().LD_LIBRARY_PATH,
      }),
      HOME: dir,
      LITELLM_MASTER_KEY: key,
      GATEWAY_API_BASE: `http://127.0.0.1:${port}/v1`,
      GATEWAY_API_KEY: token,
      LITELLM_MODE: "PRODUCTION",
      LITELLM_LOG: "ERROR",
      LITELLM_TELEMETRY: "False",
      // Else it fetches its list of prices when it starts.
      LITELLM_LOCAL_MODEL_COST_MAP: "True",
      DISABLE_ADMIN_UI: "True",
      NO_DOCS: "True",
    };
    const program = [
      "-c",
      "from litellm import run_server; run_server()",
      "--config",
      LITELLM_CONFIG,
      "--host",
      "127.0.0.1",
      "--port",
      String(own),
      "--num_workers",
      "1",
      "--telemetry",
      "False",
    ];
    return peer(own, key, LITELLM_PYTHON, program, { env, cwd: dir });
  },
};

export const PEERS = [NGINX, CADDY, PORTKEY, LITELLM];

function peer(port, key, command, args, options) {
  // In a process group of its own, like the gateway's Worker. The group ends with the bench.
  const child = start(command, args, {
    group: true,
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
  const log = [];
  for (const stream of [child.stdout, child.stderr]) collect(stream, (line) => log.push(line));
  return {
    pid: child.pid,
    url: `http://127.0.0.1:${port}`,
    key,
    headers: {},
    log,
    child,
    stop: () => stop(child).then(() => child.ended),
  };
}

const bare = () => ({ PATH: process.env.PATH, LANG: "C.UTF-8", TZ: "UTC", NO_PROXY: "*" });

/** Some print it as an error. */
async function versionPrinted(program, args) {
  const lines = [];
  await run(program, args, { onLine: (line) => lines.push(line) });
  return lines.join("\n");
}
