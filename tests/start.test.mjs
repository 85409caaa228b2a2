// `npm start` as a script uses it: one line when ready, a key that works under `wrangler dev`, and nothing left behind.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "../scripts/paths.mjs";
import { collect as collectLines, start, stop } from "../scripts/processes.mjs";
import { collect, says, sdk } from "./support/front.mjs";

/** Everything is built when tests run: wrangler and the simulated gateway take seconds. */
const READY_MS = 90_000;

let child, ready;
const stdout = [];
const stderr = [];

before(async () => {
  const env = { ...process.env };
  // As a user's shell would call it: not as a part of the npm that runs these tests.
  delete env.npm_lifecycle_event;
  child = start(process.execPath, [join(ROOT, "scripts/start.mjs"), "--json", "--port", String(await freePort())], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  collectLines(child.stderr, (line) => stderr.push(line));
  const line = await Promise.race([
    new Promise((resolve) => collectLines(child.stdout, (line) => (stdout.push(line), resolve(line)))),
    child.ended,
    new Promise((resolve) => setTimeout(resolve, READY_MS).unref()),
  ]);
  assert.equal(typeof line, "string", `not ready:\n${stderr.join("\n")}`);
  ready = JSON.parse(line);
});

after(() => stop(child));

test("one line says where it is and with which key", () => {
  assert.deepEqual(Object.keys(ready), ["url", "key", "gateway", "seconds"]);
  assert.match(ready.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(ready.key, /^claw_demo_[a-z2-7]{32}$/);
  assert.ok(ready.seconds > 0);
});

test("the key works with the SDK, streaming and not", async () => {
  const client = sdk(ready, ready);
  const seen = await collect(await client.chat.completions.create(says("hello", { stream: true })));
  assert.ok(seen.text.length > 20);
  assert.deepEqual(seen.finish, ["stop"]);
  const completion = await client.chat.completions.create(says("hello"));
  assert.equal(completion.choices[0].message.content, seen.text);
  assert.ok((await client.models.list()).data.some(({ id }) => id === "openclaw/main"));
  await assert.rejects(sdk(ready, { key: "claw_demo_wrong" }).chat.completions.create(says("hello")), (error) => error.status === 401);
});

test("an interrupt ends all that it started", async () => {
  child.kill("SIGINT");
  const { code, signal } = await child.ended;
  assert.ok(signal === "SIGINT" || code === 130, `${code} ${signal}`);
  for (const url of [ready.url, ready.gateway.replace(/^ws/, "http")]) {
    await assert.rejects(fetch(url), (error) => error.cause?.code === "ECONNREFUSED", url);
  }
  assert.equal(stdout.length, 1, "standard output has the one line and nothing else");
});

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
