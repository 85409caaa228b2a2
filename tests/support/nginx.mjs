// Runs nginx in front of a gateway.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../scripts/paths.mjs";
import { start, stop } from "../../scripts/processes.mjs";
import { until } from "./front.mjs";
import { freePorts } from "./ports.mjs";

/**
 * The header in which a proxy should name its client. Not `$remote_addr`: a test's client is on
 * this host, and the gateway does not believe a proxy that names another trusted proxy as its
 * client.
 */
const FORWARDED = [
  "proxy_set_header X-Forwarded-For 203.0.113.7;",
  "proxy_set_header X-Forwarded-Proto $scheme;",
];
const UPGRADE = [
  "proxy_http_version 1.1;",
  "proxy_set_header Upgrade $http_upgrade;",
  'proxy_set_header Connection "upgrade";',
];

/**
 * Starts nginx in front of `port` of this host, with three servers: `good`, as docs/deploy.md has
 * it; `stripping`, which does not name its client; `plain`, which does not pass the upgrade on.
 * `tls` is `{ key, cert }`, files of a certificate for localhost.
 */
export async function startNginx({ port, dir, tls }) {
  const ports = await freePorts(3);
  const servers = { good: [...UPGRADE, ...FORWARDED], stripping: UPGRADE, plain: FORWARDED };
  const blocks = Object.values(servers).map(
    (lines, index) => `server {
      listen 127.0.0.1:${ports[index]} ssl;
      ssl_certificate ${tls.cert};
      ssl_certificate_key ${tls.key};
      location / { proxy_pass http://127.0.0.1:${port}; proxy_set_header Host $host; ${lines.join(" ")} }
    }`,
  );
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${join(dir, kind)};`,
  );
  const config = join(dir, "nginx.conf");
  writeFileSync(
    config,
    `daemon off; pid ${join(dir, "nginx.pid")}; error_log ${join(dir, "nginx.log")};
     events {} http { access_log off; ${temporary.join(" ")} ${blocks.join("\n")} }`,
  );
  const child = start(nginx(), ["-p", dir, "-c", config, "-e", join(dir, "nginx.log")], {
    group: false,
    stdio: "ignore",
  });
  await until("nginx listens", () => existsSync(join(dir, "nginx.pid")));
  const [good, stripping, plain] = ports.map((free) => `wss://localhost:${free}`);
  return { good, stripping, plain, stop: () => stop(child) };
}

/** Returns its program: the one on the PATH, else Debian's package, unpacked in the cache. */
export function nginx() {
  try {
    execFileSync("nginx", ["-v"], { stdio: "ignore" });
    return "nginx";
  } catch {
    // Not on the PATH.
  }
  const folder = join(ROOT, ".cache", "tools", "nginx");
  const binary = join(folder, "usr/sbin/nginx");
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  execFileSync("apt-get", ["download", "nginx"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".deb")))
    execFileSync("dpkg", ["-x", name, "."], { cwd: folder });
  return binary;
}
