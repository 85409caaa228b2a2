// A page in a headless Chromium that calls the API with openai-node across origins: preflights, and what a page may read, are the browser's own
// and not ours to get right by agreement.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { build } from "esbuild";
import { browser, CLIENTS } from "../../scripts/clients.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";
import { contract, startClientFront, thrown } from "../support/clients.mjs";

/** Chromium takes a second; a busy machine takes longer. */
const START_LIMIT_MS = 60_000;

const page = await serve();
contract("openai-node in Chromium", {
  adapter: Object.assign(page.adapter, { close: page.close }),
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
  start: async () => {
    const front = await startClientFront({ origin: page.origin });
    await page.open();
    return front;
  },
});

describe("a page in Chromium", () => {
  let front, allowed, stranger;
  before(async () => {
    allowed = await serve();
    stranger = await serve();
    front = await startClientFront({ origin: allowed.origin });
    await Promise.all([allowed.open(), stranger.open()]);
  });
  after(async () => {
    await Promise.all([allowed.close(), stranger.close()]);
    await front.stop();
  });

  test("may read the headers that programs read", async () => {
    const headers = await allowed.call("headers", { url: `${front.baseURL}/models`, key: front.page.key });
    for (const name of ["x-request-id", "x-clawfront-models"]) assert.ok(headers.includes(name), headers.join());
  });

  test("of another origin gets nothing, and nothing is run for it", async () => {
    const content = "hi [[fake deltas=1]]";
    assert.equal((await allowed.adapter({ baseURL: front.baseURL, key: front.page.key }).ask({ content })).text, "w0");
    await front.sim.reset();
    for (const { key } of [front.page, front.phone]) {
      await assert.rejects(stranger.adapter({ baseURL: front.baseURL, key }).ask({ content }), (error) => error.kind === "APIConnectionError" && /Connection error/.test(error.message));
    }
    assert.equal((await front.sim.journal()).runs.length, 0);
  });
});

/**
 * A server with the page, on an origin of its own, and a browser to show it.
 * @returns `open` starts the browser; `call` has the page do something; `adapter` is the client in the page.
 */
async function serve() {
  const waiting = new Map();
  const tasks = [];
  let idle;
  let count = 0;
  const hand = () => {
    if (!idle || tasks.length === 0) return;
    idle.end(JSON.stringify(tasks.shift()));
    idle = undefined;
  };
  const script = await bundle();
  const arrived = Promise.withResolvers();
  const server = createServer(async (request, response) => {
    if (request.url === "/next") {
      arrived.resolve("there");
      idle = response;
      return hand();
    }
    if (request.url === "/said") {
      let body = "";
      for await (const bytes of request.setEncoding("utf8")) body += bytes;
      const { number, answer, error } = JSON.parse(body);
      const { resolve, reject } = waiting.get(number);
      waiting.delete(number);
      if (error) reject(thrown(error));
      else resolve(answer);
      return response.end();
    }
    const [type, body] = request.url === "/page.js" ? ["text/javascript", script] : ["text/html", '<!doctype html><script type="module" src="/page.js"></script>'];
    response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;

  let child;
  const profile = mkdtempSync(join(tmpdir(), "clawfront-chromium-"));
  const open = async () => {
    const { command, env } = browser();
    // Its sandbox takes rights that containers do not give; what it is shown is our own page. Its web security is on.
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", `--user-data-dir=${profile}`];
    child = start(command, [...flags, origin], { env, stdio: ["ignore", "ignore", "pipe"] });
    const output = [];
    collect(child.stderr, (line) => output.push(line));
    const limit = new Promise((resolve) => setTimeout(resolve, START_LIMIT_MS).unref());
    if ((await Promise.race([arrived.promise, child.ended, limit])) !== "there") throw new Error(`Chromium did not open the page:\n${output.join("\n")}`);
  };
  const call = (method, fields) =>
    new Promise((resolve, reject) => {
      const number = count++;
      waiting.set(number, { resolve, reject });
      tasks.push({ number, method, fields });
      hand();
    });
  return {
    origin,
    open,
    call,
    adapter: ({ baseURL, key }) => ({
      models: () => call("models", { baseURL, key }),
      ask: (fields) => call("ask", { baseURL, key, fields }),
    }),
    close: async () => {
      if (child) await stop(child);
      server.closeAllConnections();
      server.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** The page's script, as a page's author would make it. */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [join(CLIENTS, "browser-page.mjs")],
    bundle: true,
    format: "esm",
    platform: "browser",
    // The tests tell errors by their classes' names.
    keepNames: true,
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0].text;
}
