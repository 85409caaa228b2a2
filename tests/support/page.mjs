// Shows a page on an origin of its own in a headless Chromium.

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { browser, CLIENTS } from "../../scripts/clients.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";
import { thrown } from "./thrown.mjs";

/** Chromium takes a second; a busy machine takes longer. */
const START_LIMIT_MS = 60_000;

/**
 * Serves tests/clients/browser-page.mjs.
 * @returns `open` starts the browser; `call` has the page do something; `show` has it run a module
 *   of its own and returns the text it shows.
 */
export async function servePage() {
  const scripts = { "/page.js": await bundle(join(CLIENTS, "browser-page.mjs")) };
  const waiting = new Map();
  const tasks = [];
  let idle;
  let count = 0;
  const hand = () => {
    if (!idle || tasks.length === 0) return;
    idle.end(JSON.stringify(tasks.shift()));
    idle = undefined;
  };
  const arrived = Promise.withResolvers();
  const server = createServer(async (request, response) => {
    if (request.url === "/next") {
      arrived.resolve("there");
      idle = response;
      return hand();
    }
    if (request.url === "/done") {
      let body = "";
      for await (const bytes of request.setEncoding("utf8")) body += bytes;
      const { number, answer, error } = JSON.parse(body);
      const { resolve, reject } = waiting.get(number);
      waiting.delete(number);
      if (error) reject(thrown(error));
      else resolve(answer);
      return response.end();
    }
    const script = scripts[request.url];
    response.writeHead(200, {
      "content-type": `text/${script ? "javascript" : "html"}; charset=utf-8`,
    });
    response.end(script ?? '<!doctype html><body><script type="module" src="/page.js"></script>');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;

  let child;
  const profile = mkdtempSync(join(tmpdir(), "clawfront-chromium-"));
  const open = async () => {
    const { command, env } = browser();
    // Its sandbox needs rights that containers do not have; it shows only our own page. Its web
    // security is on.
    const flags = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--no-first-run",
      `--user-data-dir=${profile}`,
    ];
    child = start(command, [...flags, origin], { env, stdio: ["ignore", "ignore", "pipe"] });
    const output = [];
    collect(child.stderr, (line) => output.push(line));
    const limit = new Promise((resolve) => setTimeout(resolve, START_LIMIT_MS).unref());
    if ((await Promise.race([arrived.promise, child.ended, limit])) !== "there")
      throw new Error(`Chromium did not open the page:\n${output.join("\n")}`);
  };
  const call = (method, fields) =>
    new Promise((resolve, reject) => {
      const number = count++;
      waiting.set(number, { resolve, reject });
      tasks.push({ number, method, fields });
      hand();
    });
  const adapter = ({ baseURL, key }) => ({
    models: () => call("models", { baseURL, key }),
    ask: (fields) => call("ask", { baseURL, key, fields }),
  });
  adapter.close = async () => {
    if (child) await stop(child);
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return {
    origin,
    open,
    call,
    adapter,
    close: adapter.close,
    show: async (file, settings) => {
      scripts["/shown.js"] = await bundle(file, settings);
      if (!child) await open();
      return call("show", { url: "/shown.js" });
    },
  };
}

/**
 * A page's script, as a page's author would make it: `settings` take the place of
 * `import.meta.env`.
 */
async function bundle(entry, settings = {}) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    define: Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [
        `import.meta.env.${name}`,
        JSON.stringify(value),
      ]),
    ),
    // The tests distinguish errors by the names of their classes.
    keepNames: true,
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0].text;
}
