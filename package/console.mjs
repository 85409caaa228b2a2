// Makes the part of workerd's configuration that serves the console in front of the Worker.

import { createHash } from "node:crypto";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ASSETS = fileURLToPath(new URL("../assets", import.meta.url));
const WORKER = fileURLToPath(new URL("console-worker.js", import.meta.url));

/** The content types of the files, as Cloudflare sends them. */
const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Writes the modules that `consoleWorker` names into the folder of the configuration. */
export function writeConsole(folder) {
  copyFileSync(WORKER, join(folder, "console-worker.js"));
  writeFileSync(
    join(folder, "console-files.js"),
    `export const FILES = ${JSON.stringify(consoleFiles())};\n`,
  );
}

/**
 * Returns the text of a Worker for workerd's configuration, which serves the console and hands all
 * other requests to the service `worker`. `date` is its compatibility date.
 */
export const consoleWorker = (worker, date) => `(
  modules = [(name = "console-worker.js", esModule = embed "console-worker.js"), (name = "console-files.js", esModule = embed "console-files.js")],
  compatibilityDate = ${JSON.stringify(date)},
  bindings = [(name = "WORKER", service = ${JSON.stringify(worker)})],
)`;

/** Returns the console's files by their paths: `{ text, headers }`. */
export function consoleFiles() {
  const common = commonHeaders();
  const files = readdirSync(join(ASSETS, "console")).map((name) => {
    const text = readFileSync(join(ASSETS, "console", name), "utf8");
    const etag = `"${createHash("sha256").update(text).digest("hex").slice(0, 32)}"`;
    const headers = { "content-type": TYPES[extname(name)], etag, ...common };
    return [`/console/${name === "index.html" ? "" : name}`, { text, headers }];
  });
  return Object.fromEntries(files);
}

/** Reads the headers of all files from Cloudflare's own file for them. */
function commonHeaders() {
  const [path, ...lines] = readFileSync(join(ASSETS, "_headers"), "utf8").trim().split("\n");
  if (path !== "/console/*" || lines.some((line) => !/^ {2}[\w-]+: \S/.test(line)))
    throw new Error("assets/_headers has other rules than those of /console/*.");
  return Object.fromEntries(
    lines.map((line) => {
      const [name, value] = line.trim().split(/: (.*)/s);
      return [name.toLowerCase(), value];
    }),
  );
}
