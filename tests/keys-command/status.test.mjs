// Tests `clawfront status` with a real Worker, and `clawfront open` with an opener of its own.

import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { admin, createKey, startAdminFront } from "../support/admin.mjs";
import { post, says, until } from "../support/front.mjs";
import { assertPlain, own, runner } from "../support/keys-command.mjs";
import { listen } from "../support/stand-ins.mjs";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url)));

describe("clawfront status", () => {
  let front, run;
  before(async () => {
    front = await startAdminFront();
    const { worker, ops } = front;
    run = runner("status", `CLAWFRONT_URL=${worker.url}\nCLAWFRONT_ADMIN_KEY='${ops.key}'\n`);
  });
  after(() => front.stop());

  test("a Worker that can be used is 0, with its version, its keys and its runs", async () => {
    await createKey(front, "good");
    await createKey(front, "off", { disabled: true });
    await createKey(front, "old", { expires: "2020-01-01" });
    const { code, stdout, stderr } = await run(["status"]);
    assert.deepEqual(
      [code, stderr, stdout],
      [
        0,
        "",
        `Worker   ${front.worker.url}, Clawfront ${version}
Gateway  ready, with 3 agents
Keys     3 (1 disabled, 1 expired) in the hub
Runs     0
`,
      ],
    );
  });

  test("what runs now is named", async () => {
    const long = says("hi [[fake deltas=4000 delay=20]]", { stream: true });
    const controller = new AbortController();
    await post(front.worker, front.phone, long, { signal: controller.signal });
    const [{ id }] = (await admin(front.worker, front.ops, "GET", "/runs")).body.data;
    const { stdout } = await run(["status"]);
    assert.match(stdout, /^Runs +1$/m);
    assert.match(stdout, new RegExp(`^${id} +\\w+ +phone +main `, "m"));
    const { code, stdout: line } = await run(["status", "--json"]);
    const { gateway, runs, ...rest } = JSON.parse(line);
    assert.equal(code, 0);
    assert.deepEqual([gateway.status, gateway.agents], ["ready", 3]);
    assert.deepEqual([runs.length, runs[0].id, runs[0].key], [1, id, "phone"]);
    assert.deepEqual(rest, {
      object: "status",
      worker: front.worker.url,
      version,
      fix: null,
      keys: { total: 3, disabled: 1, expired: 1 },
    });
    controller.abort();
  });

  test("a client's key is refused, and the key is never printed", async () => {
    const { code, stdout, stderr } = await run(["status"], {
      CLAWFRONT_ADMIN_KEY: front.phone.key,
    });
    assert.deepEqual([code, stdout], [7, ""]);
    assert.match(stderr, /is not an administrator's key/);
    assert.ok(!stderr.includes(front.phone.key));
  });

  test("a gateway that is away is 1, with the cause and the fix", async () => {
    await front.sim.stop();
    const seen = await until("the last question is old", async () => {
      const seen = await run(["status"]);
      return seen.code !== 0 && seen;
    });
    assert.deepEqual([seen.code, seen.stderr], [1, ""]);
    assert.match(seen.stdout, /^Gateway {2}not ready: [a-z_]+\n {9}→ \S/m);
    const { code, stdout } = await run(["status", "--json"]);
    const { gateway, fix } = JSON.parse(stdout);
    assert.deepEqual([code, gateway.status, fix], [1, "not_ready", gateway.hint]);
    assert.match(seen.stdout, new RegExp(`not ready: ${gateway.cause}$`, "m"));
  });
});

test("a Worker that does not answer is 1", async () => {
  const env = { CLAWFRONT_ADMIN_KEY: "claw_ops_x" };
  const away = await runner("away")(["status", "--worker", "http://127.0.0.1:1"], env);
  assert.deepEqual([away.code, away.stdout], [1, ""]);
  assert.match(away.stderr, /http:\/\/127\.0\.0\.1:1 does not answer/);
});

test("texts of a server that is not to be trusted are printed safely", async () => {
  const hostile = "\u001b[2J\u009b2J\r\u202eevil\u200b\u2028";
  const run = { id: hostile, key: hostile, agent: hostile, state: hostile, created_at: 0 };
  const answers = {
    "/v1": { object: "service", version: hostile },
    "/readyz": { status: "not_ready", cause: hostile, hint: hostile },
    "/admin/v1/keys": { object: "list", data: [{ id: hostile, expires: hostile }] },
    "/admin/v1/runs": { object: "list", data: [run] },
  };
  const server = createServer(({ url }, response) => response.end(JSON.stringify(answers[url])));
  const { port, stop } = await listen(server);
  try {
    const env = { CLAWFRONT_ADMIN_KEY: "claw_ops_x" };
    const command = runner("hostile");
    for (const more of [[], ["--json"]]) {
      const url = `http://127.0.0.1:${port}`;
      const { code, stdout } = await command(["status", "--worker", url, ...more], env);
      assert.equal(code, 1);
      assertPlain(stdout);
    }
  } finally {
    await stop();
  }
});

describe("clawfront open", { skip: process.platform !== "linux" && "xdg-open is of Linux" }, () => {
  const url = "https://clawfront.example.com";
  const key = "claw_ops_abcdefghijklmnopqrstuvwxyz234567";
  const settings = `CLAWFRONT_URL=${url}/v1\nCLAWFRONT_ADMIN_KEY='${key}'\n`;

  /** Makes an opener that writes its arguments and its environment into a file, and ends so. */
  function opener(name, status) {
    const folder = own(`opener-${name}`);
    const file = join(folder, "seen");
    const script = `#!/bin/sh\necho "$@" > '${file}'\nenv >> '${file}'\nexit ${status}\n`;
    writeFileSync(join(folder, "xdg-open"), script);
    chmodSync(join(folder, "xdg-open"), 0o755);
    const env = { PATH: `${folder}:${process.env.PATH}`, DISPLAY: ":9", WAYLAND_DISPLAY: "" };
    return { file, env: { ...env, CLAWFRONT_ADMIN_KEY: key } };
  }

  test("the console is opened, without the key", async () => {
    const { file, env } = opener("good", 0);
    const { code, stdout, stderr } = await runner("open", settings)(["open"], env);
    assert.deepEqual([code, stdout, stderr], [0, `${url}/console/\n`, ""]);
    const seen = readFileSync(file, "utf8");
    assert.equal(seen.split("\n")[0], `${url}/console/`);
    assert.ok(!seen.includes(key));
  });

  test("an opener that fails is named, and the address is printed", async () => {
    const { env } = opener("bad", 3);
    const run = runner("open-bad", settings);
    const failed = await run(["open"], env);
    assert.deepEqual([failed.code, failed.stdout], [0, `${url}/console/\n`]);
    assert.equal(failed.stderr, "No browser is opened: xdg-open failed.\n");
    const none = await run(["open"], { ...env, PATH: own("open-path") });
    assert.equal(none.code, 0);
    assert.match(none.stderr, /^No browser is opened: xdg-open: /);
  });

  test("without a desktop nothing is started, and no key is needed", async () => {
    const { file, env } = opener("desktop", 0);
    const run = runner("open-bare");
    const bare = { ...env, DISPLAY: "", CLAWFRONT_ADMIN_KEY: "" };
    const seen = await run(["open", "--worker", "http://127.0.0.1:8787/"], bare);
    assert.deepEqual([seen.code, seen.stdout], [0, "http://127.0.0.1:8787/console/\n"]);
    assert.match(seen.stderr, /no desktop/);
    assert.ok(!existsSync(file));
    const nowhere = await run(["open"], bare);
    assert.deepEqual([nowhere.code, nowhere.stdout], [2, ""]);
    assert.match(nowhere.stderr, /--worker/);
  });
});
