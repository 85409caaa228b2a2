// Tests the steps of `clawfront setup`: with gateways here and elsewhere, after an interruption, and
// to a deployed Worker.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createKey } from "../support/admin.mjs";
import { startCloudflare, wranglerFor } from "../support/cloudflare.mjs";
import { variables } from "../support/dev-vars.mjs";
import { newKey, post, says, until } from "../support/front.mjs";
import { FIRST_KEY, KEY, own, run, setup, TOKEN } from "../support/setup.mjs";
import { startSim } from "../support/sim.mjs";
import { startWorker } from "../support/worker.mjs";

describe("a gateway on this host", () => {
  for (const protocol of [4, 3]) {
    test(`protocol ${protocol}: from nothing to an answer, and again without a change`, async () => {
      const sim = await startSim({ protocol, token: TOKEN });
      const cwd = own("local", "# mine\nOTHER='kept'\n");
      try {
        const first = await run(cwd, ["--gateway", sim.url, ...FIRST_KEY], {
          GATEWAY_TOKEN: TOKEN,
        });
        assert.equal(first.code, 0, first.stderr + first.stdout);
        const text = readFileSync(join(cwd, ".dev.vars"), "utf8");
        assert.ok(text.startsWith("# mine\nOTHER='kept'\n"));
        const kept = variables(cwd);
        assert.deepEqual(
          Object.keys(kept),
          [
            "OTHER",
            "GATEWAY_URL",
            "DEVICE_KEY",
            "DEVICE_TOKEN",
            "CLIENT_KEYS",
            "KEYS_SECRET",
            "CLAWFRONT_ADMIN_KEY",
          ],
          "the shared secret is not kept",
        );
        const [key, ...more] = first.stdout.match(KEY);
        assert.equal(more.length, 0);
        const { CLAWFRONT_ADMIN_KEY: ops, KEYS_SECRET, ...others } = kept;
        for (const secret of [
          ...[TOKEN, ops, KEYS_SECRET],
          ...[others.DEVICE_KEY, others.DEVICE_TOKEN, others.CLIENT_KEYS],
        ])
          assert.ok(!(first.stdout + first.stderr).includes(secret));
        assert.match(first.stdout, /^ok +pairing +device [0-9a-f]{12}… with a token of its own$/m);

        const { OTHER: _, ...vars } = kept;
        const worker = await startWorker({ vars });
        try {
          assert.equal((await post(worker, { key }, says("hi [[fake deltas=1]]"))).status, 200);
          const made = await createKey({ worker, ops: { key: ops } }, "made-by-ops");
          assert.equal((await post(worker, made, says("hi [[fake deltas=1]]"))).status, 200);
          assert.equal((await post(worker, { key: ops }, says("hi"))).status, 403);
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

  test("an address of the Worker that is not one is refused before anything is kept", async () => {
    const cwd = own("worker");
    const args = ["--gateway", "ws://127.0.0.1:9", ...FIRST_KEY, "--worker", "host.example"];
    const { code, stderr } = await run(cwd, args, { GATEWAY_TOKEN: TOKEN });
    assert.deepEqual([code, existsSync(join(cwd, ".dev.vars"))], [2, false], stderr);
    assert.match(stderr, /--worker is not a URL/);
  });

  test("a list gets an administrator once, and a secret of its own stays", async () => {
    const sim = await startSim({ token: TOKEN });
    const first = newKey("ops", "main").entry;
    const secret = "s".repeat(32);
    const cwd = own("existing", `CLIENT_KEYS='${first}'\nKEYS_SECRET='${secret}'\n`);
    try {
      const env = { GATEWAY_TOKEN: TOKEN };
      const { code, stdout, stderr } = await run(cwd, ["--gateway", sim.url], env);
      assert.equal(code, 0, stderr + stdout);
      const { CLIENT_KEYS, KEYS_SECRET, CLAWFRONT_ADMIN_KEY } = variables(cwd);
      assert.equal(KEYS_SECRET, secret);
      assert.match(CLAWFRONT_ADMIN_KEY, /^claw_clawfront-ops_/, "the id ops is taken");
      const [kept, added, ...more] = CLIENT_KEYS.split("\n");
      assert.deepEqual([kept, more], [first, []]);
      assert.match(added, /^clawfront-ops sha256:[0-9a-f]{64} scopes=admin$/);
      const text = readFileSync(join(cwd, ".dev.vars"), "utf8");
      assert.equal((await run(cwd, [])).code, 0);
      assert.equal(readFileSync(join(cwd, ".dev.vars"), "utf8"), text, "not a byte has changed");
    } finally {
      await sim.stop();
    }
  });

  test("with the shared token, where that is wanted", async () => {
    const sim = await startSim({ token: TOKEN });
    const cwd = own("token");
    try {
      const { code, stdout, stderr } = await run(
        cwd,
        ["--gateway", sim.url, "--credential", "token", ...FIRST_KEY],
        { GATEWAY_TOKEN: TOKEN },
      );
      assert.equal(code, 8, "doctor says that there is something better");
      assert.ok(!(stdout + stderr).includes(TOKEN));
      assert.equal(statSync(join(cwd, ".dev.vars")).mode & 0o777, 0o600);
      assert.deepEqual(Object.keys(variables(cwd)), [
        "GATEWAY_URL",
        "DEVICE_KEY",
        "GATEWAY_TOKEN",
        "CLIENT_KEYS",
        "KEYS_SECRET",
        "CLAWFRONT_ADMIN_KEY",
      ]);
    } finally {
      await sim.stop();
    }
  });
});

describe("a gateway on another host", () => {
  test("waits for the approval, gives up in time, and goes on with the same device", async () => {
    const sim = await startSim({ protocol: 3, token: TOKEN });
    // The headers that a tunnel would add.
    const cwd = own("remote", "GATEWAY_HEADERS='X-Forwarded-For: 203.0.113.7'\n");
    const approve = (requestId) =>
      fetch(`${sim.http}/sim/approve`, { method: "POST", body: JSON.stringify({ requestId }) });
    const args = ["--gateway", sim.url, ...FIRST_KEY];
    try {
      const early = await run(cwd, [...args, "--wait", "1"], { GATEWAY_TOKEN: TOKEN });
      assert.deepEqual([early.code, early.stdout], [3, ""], early.stderr);
      assert.match(
        early.stderr,
        /openclaw devices approve \S+\n.*gave up after 1 s\. Fix: run this again/,
      );
      const { DEVICE_KEY, ...rest } = variables(cwd);
      assert.deepEqual(Object.keys(rest), ["GATEWAY_HEADERS", "GATEWAY_URL"]);

      const { printed, ended } = setup(cwd, args, { GATEWAY_TOKEN: TOKEN });
      const [, id] = await until("it names the request", () =>
        printed().match(/devices approve (\S+)/),
      );
      assert.ok(early.stderr.includes(id), "it is the same request");
      assert.equal((await approve(id)).status, 200);
      const { code, stderr } = await ended;
      assert.equal(code, 0, stderr);
      assert.equal(variables(cwd).DEVICE_KEY, DEVICE_KEY);
      assert.equal(stderr.match(/devices approve/g).length, 1, "it is printed once");
    } finally {
      await sim.stop();
    }
  });
});

describe("an interruption", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"]) {
    test(`${signal} while the device waits: the kept file is whole, and the next run goes on with it`, async () => {
      const sim = await startSim({ protocol: 3, token: TOKEN });
      // The headers that a tunnel would add.
      const cwd = own("interrupted", "GATEWAY_HEADERS='X-Forwarded-For: 203.0.113.7'\n");
      const args = ["--gateway", sim.url, ...FIRST_KEY];
      const request = async (printed) =>
        (await until("it names the request", () => printed().match(/devices approve (\S+)/)))[1];
      try {
        const first = setup(cwd, args, { GATEWAY_TOKEN: TOKEN });
        const id = await request(first.printed);
        first.child.kill(signal);
        assert.equal((await first.ended).code, null, "the signal ended it");
        const { DEVICE_KEY, ...rest } = variables(cwd);
        assert.deepEqual(Object.keys(rest), ["GATEWAY_HEADERS", "GATEWAY_URL"]);
        assert.deepEqual(readdirSync(cwd), [".dev.vars"], "nothing half written is left");

        const second = setup(cwd, args, { GATEWAY_TOKEN: TOKEN });
        assert.equal(await request(second.printed), id, "it is the same device's request");
        await fetch(`${sim.http}/sim/approve`, {
          method: "POST",
          body: JSON.stringify({ requestId: id }),
        });
        const { code, stdout, stderr } = await second.ended;
        assert.equal(code, 0, stderr + stdout);
        assert.equal(variables(cwd).DEVICE_KEY, DEVICE_KEY);
        assert.equal(stdout.match(KEY).length, 1);
      } finally {
        await sim.stop();
      }
    });
  }

  test("at any moment: the kept file is whole, and a later run ends well", async () => {
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
        assert.ok(
          kept.endsWith("\n") && Object.values(variables(cwd)).every((value) => value.length > 10),
          "nothing half written",
        );
      }
      const { code, stdout, stderr } = await run(cwd, ["--gateway", sim.url, ...FIRST_KEY], {
        GATEWAY_TOKEN: TOKEN,
      });
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
    const refusedHere = await run(
      cwd,
      ["--gateway", sim.url, ...FIRST_KEY, "--apply", "worker", "--name", "front"],
      env,
    );
    assert.deepEqual(
      [refusedHere.code, existsSync(join(cwd, ".dev.vars")), api.take()],
      [2, false, []],
    );
    assert.match(
      refusedHere.stderr,
      /is this machine itself: Cloudflare's network does not reach it.*--allow-private/,
    );

    writeFileSync(join(cwd, ".dev.vars"), "MODEL_ALIASES='fast=main'\n");
    const { code, stdout, stderr } = await run(
      cwd,
      [
        "--gateway",
        sim.url,
        ...FIRST_KEY,
        "--apply",
        "worker",
        "--name",
        "front",
        "--allow-private",
      ],
      env,
    );
    assert.equal(code, 0, stderr + stdout);
    const { CLAWFRONT_ADMIN_KEY, CLAWFRONT_PUSHED: _, ...own } = variables(cwd);
    const { GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET, CLIENT_KEYS } = own;
    assert.ok(!JSON.stringify(api.secrets).includes(CLAWFRONT_ADMIN_KEY), "it is never pushed");
    assert.deepEqual(api.secrets, {
      GATEWAY_URL,
      DEVICE_KEY,
      DEVICE_TOKEN,
      MODEL_ALIASES: "fast=main",
      KEYS_SECRET,
      CLIENT_KEYS,
    });
    assert.equal(api.take().filter(({ method }) => method !== "GET").length, 1, "all at once");
    assert.match(stdout + stderr, /The Worker's secrets: .*DEVICE_TOKEN.* set\./);
    const called = readFileSync(join(cwd, "argv"), "utf8") + stdout + stderr;
    for (const secret of [
      ...[DEVICE_KEY, DEVICE_TOKEN, CLIENT_KEYS, TOKEN],
      ...[KEYS_SECRET, CLAWFRONT_ADMIN_KEY],
    ])
      assert.ok(!called.includes(secret), called);

    api.refuse = true;
    const refused = await run(
      cwd,
      ["--apply", "worker", "--name", "front", "--allow-private"],
      env,
    );
    assert.notEqual(refused.code, 0);
    assert.match(refused.stdout, /^ok +pairing/m, "the checks before it are still shown");
    assert.match(refused.stderr, /wrangler/);
  } finally {
    await api.stop();
    await sim.stop();
  }
});
