// Imitates a Worker that is deployed at Cloudflare.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startWorker } from "./worker.mjs";

/**
 * Serves the Worker of `api`, the stand-in of Cloudflare's API, at `url`: the real Worker in
 * workerd. A change of its code or secrets starts it again after `delayMs`. Until the first change,
 * nothing is deployed.
 */
export async function startDeployed(api, { delayMs = 600 } = {}) {
  let worker;
  let changes = Promise.resolve();
  const timers = new Set();
  const folder = mkdtempSync(join(tmpdir(), "clawfront-deployed-"));
  /** Returns the code that was uploaded. Without an upload the built code is served. */
  const uploaded = () => {
    for (const [name, bytes] of api.modules) writeFileSync(join(folder, name), bytes);
    return { build: folder, modules: [...api.modules.keys()] };
  };
  const renew = async () => {
    const next = await startWorker({ vars: { ...api.secrets }, ...(api.modules && uploaded()) });
    const last = worker;
    worker = next;
    await last?.stop();
  };
  api.changed = () => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      changes = changes.then(renew);
    }, delayMs);
    timers.add(timer);
  };
  const server = createServer(async (request, response) => {
    if (!worker)
      return response.writeHead(404, { "content-type": "text/plain" }).end("error code: 1042");
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { host: _, connection: __, ...headers } = request.headers;
    const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
    delete headers["content-length"];
    try {
      const answer = await fetch(`${worker.url}${request.url}`, {
        method: request.method,
        headers,
        body,
      });
      const text = Buffer.from(await answer.arrayBuffer());
      const kept = ["content-type", "x-request-id"]
        .filter((name) => answer.headers.has(name))
        .map((name) => [name, answer.headers.get(name)]);
      response.writeHead(answer.status, Object.fromEntries(kept)).end(text);
    } catch {
      response.writeHead(502).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: async () => {
      for (const timer of timers) clearTimeout(timer);
      await changes;
      await worker?.stop();
      rmSync(folder, { recursive: true, force: true });
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
