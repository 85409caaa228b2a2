// `npm start` as a script uses it: one line when ready, a key that works under `wrangler dev`, and
// nothing left behind.

import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { consoleFiles } from "../../package/console.mjs";
import { CACHE, CLI, ROOT } from "../../scripts/paths.mjs";
import { errorOfListening } from "../../scripts/ports.mjs";
import { collect as collectLines, run, start, stop } from "../../scripts/processes.mjs";
import { temporaryFolder } from "../support/folder.mjs";
import { collect, post, says, sdk, until } from "../support/front.mjs";
import { freePort } from "../support/ports.mjs";
import { startSim } from "../support/sim.mjs";

/** Everything is built when tests run: wrangler and the simulated gateway take seconds. */
const READY_MS = 90_000;

const folder = temporaryFolder("start");
let port, child, ready, stdout, stderr;

/**
 * Starts it, in a shell of a user whose home cannot be written; resolves to its output when it is
 * ready.
 */
async function begin({ at = port, args = [] } = {}) {
  // As a user's shell would call it: not as a part of the npm that runs these tests. rustup and
  // cargo keep their own folders.
  const { npm_lifecycle_event: _, ...own } = process.env;
  const env = {
    RUSTUP_HOME: join(homedir(), ".rustup"),
    CARGO_HOME: join(homedir(), ".cargo"),
    ...own,
    HOME: "/dev/null/home",
  };
  const stderr = [];
  const lines = [];
  const started = start(
    process.execPath,
    [join(ROOT, "scripts/start.mjs"), "--json", "--port", String(at), ...args],
    { env, stdio: ["ignore", "pipe", "pipe"] },
  );
  collectLines(started.stderr, (line) => stderr.push(line));
  const line = await Promise.race([
    new Promise((resolve) =>
      collectLines(started.stdout, (line) => {
        lines.push(line);
        resolve(line);
      }),
    ),
    started.ended,
    new Promise((resolve) => setTimeout(resolve, READY_MS).unref()),
  ]);
  assert.equal(typeof line, "string", `not ready:\n${stderr.join("\n")}`);
  return { child: started, ready: JSON.parse(line), stdout: lines, stderr };
}

const folders = () => readdirSync(CACHE).filter((name) => name.startsWith(`dev-${port}-`));

before(async () => {
  port = await freePort();
  ({ child, ready, stdout, stderr } = await begin());
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
  assert.ok((await client.models.list()).data.some(({ id }) => id === "openclaw"));
  await assert.rejects(
    sdk(ready, { key: "claw_demo_wrong" }).chat.completions.create(says("hello")),
    (error) => error.status === 401,
  );
});

test("it serves the console as `clawfront serve` does, and every other path is the Worker's", async () => {
  for (const [path, { text, headers }] of Object.entries(consoleFiles())) {
    const response = await fetch(`${ready.url}${path}`);
    assert.equal(await response.text(), text, path);
    for (const [name, value] of Object.entries(headers))
      if (name !== "etag") assert.equal(response.headers.get(name), value, `${path} ${name}`);
  }
  const statusOf = async (path, init) => (await fetch(`${ready.url}${path}`, init)).status;
  assert.equal(await statusOf("/console", { redirect: "manual" }), 307);
  assert.equal(await statusOf("/console/none"), 404);
  assert.equal(await statusOf("/console/", { method: "POST" }), 405);
  for (const path of ["/", "/healthz", "/consoles", "/_headers", "/admin/v1/keys"]) {
    const response = await fetch(`${ready.url}${path}`);
    assert.ok(response.headers.get("x-request-id"), path);
    await response.text();
  }
});

test("a client that leaves through wrangler's router stops the run", async () => {
  const leaving = new AbortController();
  const body = says("hi [[fake deltas=2000 delay=20]]", { stream: true });
  const response = await post(ready, ready, body, { signal: leaving.signal });
  await response.body.getReader().read();
  leaving.abort();
  const isEnd = (line) => line.includes('"event":"end"') && line.includes("client_closed_request");
  await until("the Worker logs it", () => stderr.some(isEnd));
});

test("a key for another client is made beside it, without settings", async () => {
  const { CLAWFRONT_ADMIN_KEY: _, ...env } = process.env;
  const keys = async (...args) =>
    JSON.parse(
      await run(CLI, ["keys", ...args, "--worker", ready.url, "--json"], { cwd: ROOT, env }),
    );
  const made = await keys("new", "--id", "beside", "--agents", "main");
  assert.equal(made.base_url, `${ready.url}/v1`);
  const ask = () => sdk(ready, made).chat.completions.create(says("hello"));
  assert.ok((await ask()).choices[0].message.content.length > 20);
  assert.equal((await keys("revoke", "beside")).deleted, true);
  await assert.rejects(ask(), (error) => error.status === 401);
});

test("a second start on its port names the holder, and a fix", async () => {
  const [folder] = folders();
  await assert.rejects(
    run(process.execPath, [join(ROOT, "scripts/start.mjs"), "--port", String(port)]),
    ({ output }) => {
      assert.match(
        output,
        new RegExp(
          `Port ${port} is held by workerd \\(process \\d+\\), which an \`npm start\` of this folder runs\\..*\`kill ${child.pid}\`.*--port ${port + 1}`,
        ),
      );
      return true;
    },
  );
  assert.deepEqual(folders(), [folder], "its folder is its own");
});

test("killed, it leaves no secret and no program behind, and the next one takes its place", async () => {
  const gateway = Number(new URL(ready.gateway).port);
  child.kill("SIGKILL");
  const [left] = folders();
  ({ child, ready, stdout } = await begin());
  await until(
    "the leftovers are gone",
    async () => !existsSync(join(CACHE, left)) && !(await errorOfListening(gateway)),
  );
  assert.equal(folders().length, 1);
});

test("an interrupt ends all that it started", async () => {
  child.kill("SIGINT");
  const { code, signal } = await child.ended;
  assert.ok(signal === "SIGINT" || code === 130, `${code} ${signal}`);
  for (const url of [ready.url, ready.gateway.replace(/^ws/, "http")]) {
    await assert.rejects(fetch(url), (error) => error.cause?.code === "ECONNREFUSED", url);
  }
  assert.equal(stdout.length, 1, "standard output has the one line and nothing else");
  assert.deepEqual(folders(), []);
});

test("a key that is revoked in the file is refused by the Worker that runs", async () => {
  const sim = await startSim();
  const file = join(folder, ".dev.vars");
  writeFileSync(file, `GATEWAY_URL=${sim.url}\nGATEWAY_TOKEN=${sim.token}\n`, { mode: 0o600 });
  const keys = (...args) =>
    run(CLI, ["keys", ...args, "--apply", "--file", file, "--json"], { cwd: folder, data: true });
  let running;
  try {
    const { key } = JSON.parse(await keys("new", "--id", "phone", "--agents", "main"));
    const { key: other } = JSON.parse(await keys("new", "--id", "other", "--agents", "main"));
    running = await begin({ at: await freePort(), args: ["--file", file] });
    const status = async (key) =>
      (await fetch(`${running.ready.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } }))
        .status;
    assert.deepEqual([running.ready.key, await status(key), await status(other)], [null, 200, 200]);
    await keys("revoke", "phone");
    await until("the key is refused", async () => (await status(key)) === 401, RELOAD_MS);
    assert.equal(await status(other), 200, "and no other is");
    writeFileSync(file, "nothing");
    await until(
      "a mistake is reported",
      () => running.stderr.some((line) => line.includes("names no gateway any more")),
      RELOAD_MS,
    );
    assert.equal(await status(other), 200);
  } finally {
    if (running) await stop(running.child);
    await sim.stop();
  }
});

/** wrangler takes a second or two; a busy machine takes longer. */
const RELOAD_MS = 60_000;
