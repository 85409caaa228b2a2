// `clawfront setup`: what it asks, keeps and says, and that it goes on where an earlier run stopped.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CLI } from "../scripts/paths.mjs";
import { collect } from "../scripts/processes.mjs";
import { startCloudflare, wranglerFor } from "./support/cloudflare.mjs";
import { post, says, until } from "./support/front.mjs";
import { startSim } from "./support/sim.mjs";
import { startWorker } from "./support/worker.mjs";

const TOKEN = "s3cret-token";
const KEY = /claw_[a-z0-9-]+_[a-z2-7]{32}/g;

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-setup-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A folder of a test's own, with these lines in its `.dev.vars`. */
function own(name, text) {
  const cwd = mkdtempSync(join(folder, `${name}-`));
  if (text !== undefined) writeFileSync(join(cwd, ".dev.vars"), text);
  return cwd;
}

const variables = (cwd) =>
  Object.fromEntries([...readFileSync(join(cwd, ".dev.vars"), "utf8").matchAll(/^([A-Z_0-9]+)=(['"`]?)([^]*?)\2$/gm)].map(([, name, , value]) => [name, value]));

/** Runs it without a terminal; `{ code, stdout, stderr, said }`. */
function setup(cwd, args, env = {}) {
  const clean = { ...process.env };
  for (const name of ["GATEWAY_TOKEN", "GATEWAY_PASSWORD", "DEVICE_KEY", "DEVICE_TOKEN"]) delete clean[name];
  const child = spawn(CLI, ["setup", ...args], { cwd, env: { ...clean, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, said] = [[], []];
  collect(child.stdout, (line) => stdout.push(line));
  collect(child.stderr, (line) => said.push(line));
  const ended = new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout: stdout.join("\n"), stderr: said.join("\n") })));
  return { child, said, ended };
}

const run = (...args) => setup(...args).ended;
const FIRST_KEY = ["--key", "phone", "--agents", "main"];

describe("a gateway on this host", () => {
  for (const protocol of [4, 3]) {
    test(`protocol ${protocol}: from nothing to an answer, and again without a change`, async () => {
      const sim = await startSim({ protocol, token: TOKEN });
      const cwd = own("local", "# mine\nOTHER='kept'\n");
      try {
        const first = await run(cwd, ["--gateway", sim.url, ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN });
        assert.equal(first.code, 0, first.stderr + first.stdout);
        const text = readFileSync(join(cwd, ".dev.vars"), "utf8");
        assert.ok(text.startsWith("# mine\nOTHER='kept'\n"));
        const kept = variables(cwd);
        assert.deepEqual(Object.keys(kept), ["OTHER", "GATEWAY_URL", "DEVICE_KEY", "DEVICE_TOKEN", "CLIENT_KEYS"], "the shared secret is not kept");
        const [key, ...more] = first.stdout.match(KEY);
        assert.equal(more.length, 0);
        for (const secret of [TOKEN, kept.DEVICE_KEY, kept.DEVICE_TOKEN, kept.CLIENT_KEYS]) assert.ok(!(first.stdout + first.stderr).includes(secret));
        assert.match(first.stdout, /^ok +pairing +device [0-9a-f]{12}… with a token of its own$/m);

        const { OTHER: _, ...vars } = kept;
        const worker = await startWorker({ vars });
        try {
          assert.equal((await post(worker, { key }, says("hi [[fake deltas=1]]"))).status, 200);
        } finally {
          await worker.stop();
        }

        const again = await run(cwd, []);
        assert.deepEqual([again.code, again.stdout.match(KEY)], [0, null], again.stderr);
        assert.equal(readFileSync(join(cwd, ".dev.vars"), "utf8"), text, "not a byte has changed");
      } finally {
        await sim.stop();
      }
    });
  }

  test("with the shared token, where that is wanted", async () => {
    const sim = await startSim({ token: TOKEN });
    const cwd = own("token");
    try {
      const { code, stdout, stderr } = await run(cwd, ["--gateway", sim.url, "--credential", "token", ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN });
      assert.equal(code, 8, "doctor says that there is something better");
      assert.ok(!(stdout + stderr).includes(TOKEN));
      assert.equal(statSync(join(cwd, ".dev.vars")).mode & 0o777, 0o600);
      assert.deepEqual(Object.keys(variables(cwd)), ["GATEWAY_URL", "DEVICE_KEY", "GATEWAY_TOKEN", "CLIENT_KEYS"]);
    } finally {
      await sim.stop();
    }
  });
});

describe("a gateway on another host", () => {
  test("waits for the approval, gives up in time, and goes on with the same device", async () => {
    const sim = await startSim({ protocol: 3, token: TOKEN });
    // What a tunnel would add.
    const cwd = own("remote", "GATEWAY_HEADERS='X-Forwarded-For: 203.0.113.7'\n");
    const approve = (requestId) => fetch(`${sim.http}/sim/approve`, { method: "POST", body: JSON.stringify({ requestId }) });
    const args = ["--gateway", sim.url, ...FIRST_KEY];
    try {
      const early = await run(cwd, [...args, "--wait", "1"], { GATEWAY_TOKEN: TOKEN });
      assert.deepEqual([early.code, early.stdout], [3, ""], early.stderr);
      assert.match(early.stderr, /openclaw devices approve \S+\n.*gave up after 1 s; run this again/);
      const { DEVICE_KEY, ...rest } = variables(cwd);
      assert.deepEqual(Object.keys(rest), ["GATEWAY_HEADERS", "GATEWAY_URL"]);

      const { said, ended } = setup(cwd, args, { GATEWAY_TOKEN: TOKEN });
      const [, id] = await until("it names the request", () => said.join("\n").match(/devices approve (\S+)/));
      assert.ok(early.stderr.includes(id), "it is the same request");
      assert.equal((await approve(id)).status, 200);
      const { code, stderr } = await ended;
      assert.equal(code, 0, stderr);
      assert.equal(variables(cwd).DEVICE_KEY, DEVICE_KEY);
      assert.equal(stderr.match(/devices approve/g).length, 1, "it is said once");
    } finally {
      await sim.stop();
    }
  });
});

describe("an interruption", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"]) {
    test(`${signal} while the device waits: what is kept is whole, and the next run goes on with it`, async () => {
      const sim = await startSim({ protocol: 3, token: TOKEN });
      // What a tunnel would add.
      const cwd = own("interrupted", "GATEWAY_HEADERS='X-Forwarded-For: 203.0.113.7'\n");
      const args = ["--gateway", sim.url, ...FIRST_KEY];
      const request = async (said) => (await until("it names the request", () => said.join("\n").match(/devices approve (\S+)/)))[1];
      try {
        const first = setup(cwd, args, { GATEWAY_TOKEN: TOKEN });
        const id = await request(first.said);
        first.child.kill(signal);
        assert.equal((await first.ended).code, null, "the signal ended it");
        const { DEVICE_KEY, ...rest } = variables(cwd);
        assert.deepEqual(Object.keys(rest), ["GATEWAY_HEADERS", "GATEWAY_URL"]);
        assert.deepEqual(readdirSync(cwd), [".dev.vars"], "nothing half written is left");

        const second = setup(cwd, args, { GATEWAY_TOKEN: TOKEN });
        assert.equal(await request(second.said), id, "it is the same device's request");
        await fetch(`${sim.http}/sim/approve`, { method: "POST", body: JSON.stringify({ requestId: id }) });
        const { code, stdout, stderr } = await second.ended;
        assert.equal(code, 0, stderr + stdout);
        assert.equal(variables(cwd).DEVICE_KEY, DEVICE_KEY);
        assert.equal(stdout.match(KEY).length, 1);
      } finally {
        await sim.stop();
      }
    });
  }

  test("at any moment: what is kept is whole, and a later run ends well", async () => {
    const sim = await startSim({ token: TOKEN });
    const cwd = own("anytime");
    try {
      for (const afterMs of [0, 5, 10, 20, 40, 80, 160]) {
        const running = setup(cwd, ["--gateway", sim.url, ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN });
        await new Promise((resolve) => setTimeout(resolve, afterMs));
        running.child.kill("SIGKILL");
        await running.ended;
        if (!existsSync(join(cwd, ".dev.vars"))) continue;
        const kept = readFileSync(join(cwd, ".dev.vars"), "utf8");
        assert.ok(kept.endsWith("\n") && Object.values(variables(cwd)).every((value) => value.length > 10), "nothing half written");
      }
      const { code, stdout, stderr } = await run(cwd, ["--gateway", sim.url, ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN });
      assert.equal(code, 0, stderr + stdout);
    } finally {
      await sim.stop();
    }
  });
});

test("--apply=worker sets the Worker's secrets through wrangler, none of them where others can read it", async () => {
  const sim = await startSim({ token: TOKEN });
  const api = await startCloudflare();
  const cwd = own("deployed");
  try {
    const env = { ...wranglerFor(cwd, api), GATEWAY_TOKEN: TOKEN };
    const { code, stdout, stderr } = await run(cwd, ["--gateway", sim.url, ...FIRST_KEY, "--apply", "worker", "--name", "front"], env);
    assert.equal(code, 0, stderr + stdout);
    const { GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, CLIENT_KEYS } = variables(cwd);
    assert.deepEqual(api.secrets, { GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, CLIENT_KEYS });
    assert.equal(api.take().filter(({ method }) => method !== "GET").length, 1, "all at once");
    assert.match(stdout + stderr, /The Worker's secrets: .*DEVICE_TOKEN.* set\./);
    const called = readFileSync(join(cwd, "argv"), "utf8") + stdout + stderr;
    for (const secret of [DEVICE_KEY, DEVICE_TOKEN, CLIENT_KEYS, TOKEN]) assert.ok(!called.includes(secret), called);

    api.refuse = true;
    const refused = await run(cwd, ["--apply", "worker", "--name", "front"], env);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stdout, /^ok +pairing/m, "what was checked is shown all the same");
    assert.match(refused.stderr, /wrangler/);
  } finally {
    await api.stop();
    await sim.stop();
  }
});

describe("a gateway that nobody is", () => {
  /** Options, environment, the code, and what is said. */
  const CASES = [
    ["nothing is known", [], {}, 2, /missing are --gateway, --key, --agents, GATEWAY_TOKEN$/],
    ["no secret", ["--gateway", "wss://gateway.invalid", ...FIRST_KEY], {}, 2, /missing are GATEWAY_TOKEN$/],
    ["an address that is none", ["--gateway", "gateway", ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN }, 4, /GATEWAY_URL: is not a URL/],
    ["an address in the clear", ["--gateway", "ws://gateway.invalid", ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN }, 4, /in the clear/],
    ["a host without an address", ["--gateway", "wss://gateway.invalid", ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN }, 1, /dns_failure/],
  ];
  for (const [name, args, env, code, words] of CASES) {
    test(name, async () => {
      const cwd = own("none");
      const result = await run(cwd, args, env);
      assert.deepEqual([result.code, result.stdout], [code, ""], result.stderr);
      assert.match(result.stderr, words);
      assert.ok(!result.stderr.includes(TOKEN));
      if (code === 2 || code === 4) assert.ok(!existsSync(join(cwd, ".dev.vars")), "nothing was kept");
    });
  }

  test("a shared secret that is wrong", async () => {
    const sim = await startSim({ token: TOKEN });
    try {
      const { code, stderr } = await run(own("wrong"), ["--gateway", sim.url, ...FIRST_KEY], { GATEWAY_TOKEN: "s3cret-other" });
      assert.equal(code, 1);
      assert.match(stderr, /gateway_token_mismatch/);
      assert.ok(!stderr.includes("s3cret"));
    } finally {
      await sim.stop();
    }
  });

  test("a gateway that is starting is waited for", async () => {
    const sim = await startSim({ token: TOKEN });
    try {
      await sim.fault("startup");
      const { code, stderr } = await run(own("starting"), ["--gateway", sim.url, ...FIRST_KEY], { GATEWAY_TOKEN: TOKEN });
      assert.equal(code, 0, stderr);
      assert.match(stderr, /gateway_starting/);
    } finally {
      await sim.stop();
    }
  });
});
