// `clawfront serve`: the Worker at home, with storage on disk.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { temporaryFolder } from "../support/folder.mjs";
import { newDevice, newKey, post, says, until } from "../support/front.mjs";
import { install, killPrograms, runProgram, startServe } from "../support/package.mjs";
import { startSim } from "../support/sim.mjs";

const folder = temporaryFolder("serve");
/** An answer of about two seconds. */
const SLOW = "hi [[fake deltas=40 delay=50]]";
/** More than a reload's time for running answers, with room for a busy machine. */
const RELOAD_MS = 15_000;

let installed, sim, phone, tablet, nearby, vars;
before(async () => {
  [installed, sim] = await Promise.all([install(folder), startSim()]);
  phone = newKey("phone", "main");
  tablet = newKey("tablet", "main");
  nearby = newKey("nearby", "main", "--networks", "192.0.2.0/24");
  vars = join(installed.home, "home.vars");
  write(phone, tablet, nearby);
});
after(async () => {
  killPrograms();
  await sim?.stop();
});

const write = (...keys) =>
  writeFileSync(
    vars,
    `${[
      `GATEWAY_URL='${sim.url}'`,
      `GATEWAY_TOKEN='${sim.token}'`,
      `DEVICE_KEY='${device}'`,
      `CLIENT_KEYS='${keys.map(({ entry }) => entry).join("\n")}'`,
    ].join("\n")}\n`,
  );
const device = newDevice().device_key;
const serve = (...args) => startServe(installed, ["--file", vars, ...args]);
const status = async (server, key, headers = {}) => {
  const init = { headers: { authorization: `Bearer ${key.key}`, ...headers } };
  const response = await fetch(`${server.url}/v1/key`, init);
  await response.text();
  return response.status;
};

const isGone = (server) =>
  status(server, phone).then(
    () => false,
    () => true,
  );

test("a running answer ends whole after SIGTERM, and nobody else is served then", async () => {
  const server = await serve();
  const response = await post(server, phone, says(SLOW, { stream: true }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader.read();
  const ended = server.stop();
  await until("it takes no connection", () => isGone(server));
  let text = first.value;
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  assert.match(text, /w39/);
  assert.match(text, /data: \[DONE\]\n\n$/);
  assert.equal(await ended, 0, server.lines.stderr.join("\n"));
  const logged = server.lines.stdout.filter((line) => line.startsWith("{")).map(JSON.parse);
  assert.ok(
    logged.some(({ event, key, end }) => event === "end" && key === "phone" && end === "stop"),
  );
  assert.doesNotMatch(server.lines.stdout.join("\n"), new RegExp(phone.key));
});

test("the console is served, and a client that leaves through its router stops the run", async () => {
  await sim.reset();
  const server = await serve();
  const page = await fetch(`${server.url}/console/`);
  assert.match(await page.text(), /<title>Clawfront console<\/title>/);
  assert.match(page.headers.get("content-security-policy"), /^default-src 'none'; /);
  const leaving = new AbortController();
  const long = says("hi [[fake deltas=2000 delay=20]]", { stream: true });
  const response = await post(server, phone, long, { signal: leaving.signal });
  await response.body.getReader().read();
  leaving.abort();
  await until("the run is stopped", async () => {
    const { runs } = await sim.journal();
    return runs.length === 1 && runs[0].ended === "aborted";
  });
  assert.equal(await server.stop(), 0);
});

test("a second signal ends running answers at once", async () => {
  const server = await serve("--drain", "600");
  const response = await post(
    server,
    phone,
    says("hi [[fake deltas=2000 delay=100]]", { stream: true }),
  );
  await response.body.getReader().read();
  server.child.kill("SIGTERM");
  await until("it is ending", () =>
    server.lines.stderr.some((line) => line.startsWith("Ending: ")),
  );
  assert.equal(await server.stop("SIGINT"), 0);
});

test("running answers have a bounded time", async () => {
  const server = await serve("--drain", "1");
  const response = await post(
    server,
    phone,
    says("hi [[fake deltas=2000 delay=100]]", { stream: true }),
  );
  await response.body.getReader().read();
  const begun = performance.now();
  assert.equal(await server.stop(), 0);
  assert.ok(performance.now() - begun >= 900);
});

test("a revoked key is refused a moment later, and the others go on", async () => {
  const server = await serve();
  assert.deepEqual([await status(server, phone), await status(server, tablet)], [200, 200]);
  write(phone, nearby);
  await until(
    "the key is refused",
    () =>
      status(server, tablet).then(
        (code) => code === 401,
        () => false,
      ),
    RELOAD_MS,
  );
  assert.equal(await status(server, phone), 200);
  // A file without a gateway changes nothing.
  writeFileSync(vars, "");
  await until("it says so", () => server.lines.stderr.some((line) => /settings stay/.test(line)));
  assert.equal(await status(server, phone), 200);
  write(phone, tablet, nearby);
  assert.equal(await server.stop(), 0);
});

test("after workerd was killed, the data and a copy of it have the run that goes on, and a client joins it", async () => {
  const data = join(folder, "data");
  const ask = (server) =>
    post(server, phone, says(SLOW, { stream: true }), {
      headers: { "idempotency-key": "restart-1" },
    });
  const runs = async () => (await sim.journal()).runs;
  await sim.reset();
  const first = await serve("--data", data);
  const response = await ask(first);
  await response.body.getReader().read();
  const [{ runId: run }] = await runs();
  // The hub does not wait until its row is on disk.
  await until("the run is stored", () => storedRuns(data).includes(run));
  process.kill(workerdOf(first.child.pid), "SIGKILL");
  assert.equal(await first.ended, 1);
  assert.match(first.lines.stderr.join("\n"), /workerd has ended \(SIGKILL\)\. Fix: start again/);
  assert.equal(statSync(data).mode & 0o077, 0, "for this user alone");

  const copy = join(folder, "copy");
  cpSync(data, copy, { recursive: true, filter: (path) => !path.endsWith("/lock") });
  assert.deepEqual(storedRuns(copy), [run]);
  const restored = await serve("--data", copy);
  const text = await (await ask(restored)).text();
  assert.match(text, /w39/);
  assert.match(text, /data: \[DONE\]\n\n$/);
  assert.equal((await runs()).length, 1, "it is not started again");
  assert.equal(await restored.stop(), 0);
  assert.deepEqual(storedRuns(copy), [], "it has ended");
});

/** The number of the workerd that a server runs. A small Linux has no pgrep. */
function workerdOf(pid) {
  if (process.platform !== "linux")
    return Number(execFileSync("pgrep", ["-P", String(pid), "workerd"]));
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  const is = (child) => readFileSync(`/proc/${child}/comm`, "utf8").trim() === "workerd";
  return Number(children.find(is));
}

/**
 * The runs in the hub's storage that may be going: their rows begin with 0, and those of ended runs
 * with the time until which they are kept. The storage is one file of SQLite for each object.
 */
function storedRuns(data) {
  const hub = join(data, "objects/Hub");
  const [file] = readdirSync(hub).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  if (!file) return [];
  const database = new DatabaseSync(join(hub, file));
  try {
    const rows = database.prepare("SELECT key, value FROM _cf_KV WHERE key LIKE 'run%'").all();
    const isGoing = ({ value }) => /\d+\t/.exec(Buffer.from(value).toString("latin1"))[0] === "0\t";
    return rows.filter(isGoing).map(({ key }) => key.replace(/^run\W/, ""));
  } finally {
    database.close();
  }
}

test("two servers do not share data, and a killed one leaves nothing in the way", async () => {
  const server = await serve();
  const second = await runProgram(installed.bin, ["serve", "--port", "0", "--file", vars], {
    cwd: installed.home,
    env: installed.env,
  });
  assert.equal(second.code, 1);
  assert.match(second.stderr, /Another `clawfront serve` uses .*\. Fix: .*--data/);
  await server.stop("SIGKILL");
  await until("workerd is gone", () => isGone(server));
  const next = await serve();
  assert.equal(await status(next, phone), 200);
  assert.equal(await next.stop(), 0);
});

describe("the client's address", () => {
  const CLAIM = { "cf-connecting-ip": "192.0.2.7" };

  test("is not what a client claims", async () => {
    const server = await serve();
    assert.equal(await status(server, nearby, CLAIM), 401);
    await server.stop();
  });

  test("is what the proxy sets, where there is one", async () => {
    const server = await serve("--behind-proxy");
    assert.equal(await status(server, nearby, CLAIM), 200);
    assert.equal(await status(server, nearby, { "cf-connecting-ip": "198.51.100.1" }), 401);
    await server.stop();
  });
});

test("mistakes are named before anything is served", async () => {
  const cases = [
    [
      ["--host", "0.0.0.0"],
      /0\.0\.0\.0:0 may be reached from the internet\. It is plain HTTP: .* Fix: /,
    ],
    [["--host", "::"], /\[::\]:0 may be reached/],
    [["--host", "203.0.113.1"], /may be reached/],
    [["--host", "example.com"], /is not an address/],
    [["--port", "70000"], /--port 70000 is not a number/],
    [["--unknown"], /Unknown option/],
    [
      ["--file", "none"],
      /Neither .*none nor the environment has GATEWAY_URL\. Fix: run `clawfront setup`/,
    ],
  ];
  const results = await Promise.all(
    cases.map(([args]) =>
      runProgram(installed.bin, ["serve", "--file", vars, "--port", "0", ...args], {
        cwd: installed.home,
        env: installed.env,
      }),
    ),
  );
  for (const [index, { code, stderr }] of results.entries()) {
    assert.equal(code, 1, stderr);
    assert.match(stderr, cases[index][1]);
  }
});

test("no secret is in a file but that of the settings", async () => {
  const server = await serve();
  const run = join(installed.home, "clawfront-data/run");
  const config = readFileSync(join(run, "config.capnp"), "utf8");
  for (const secret of [device, sim.token, "sha256:"]) assert.ok(!config.includes(secret));
  assert.ok(existsSync(join(run, "index_bg.wasm")));
  await server.stop();
});
