// Tests `clawfront keys` with a Worker that has the written list: make, rotate, revoke and show keys.

import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { clawfront } from "../support/command.mjs";
import { parseAsWrangler } from "../support/dotenv.mjs";
import { post, says } from "../support/front.mjs";
import { json, KEY, keys, LABEL, own } from "../support/keys-command.mjs";
import { startSim } from "../support/sim.mjs";
import { startWorker } from "../support/worker.mjs";

describe("the life of a key", () => {
  let cwd, sim, vars;
  const stops = [];
  before(async () => {
    cwd = own("life");
    sim = await startSim({ args: ["--agent", "main", "--agent", "beta"] });
    stops.push(sim.stop);
    vars = { GATEWAY_URL: sim.url, GATEWAY_TOKEN: sim.token };
  });
  after(async () => {
    for (const end of stops.reverse()) await end();
  });

  /**
   * The statuses that a Worker with the list of `.dev.vars`, as wrangler would read it, answers
   * these keys with.
   */
  async function statuses(...presented) {
    const worker = await startWorker({
      vars: { ...vars, ...parseAsWrangler(readFileSync(join(cwd, ".dev.vars"))) },
    });
    try {
      const answers = [];
      for (const key of presented)
        answers.push(
          (await fetch(`${worker.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } }))
            .status,
        );
      return answers;
    } finally {
      await worker.stop();
    }
  }

  let phone, renewed, guest;

  test("a new key works, and nothing but its hash is kept", async () => {
    writeFileSync(join(cwd, ".dev.vars"), "# mine\r\nOTHER = 'kept'   # and this\r\n");
    chmodSync(join(cwd, ".dev.vars"), 0o640);
    phone = await json(
      [
        "new",
        "--id",
        "phone",
        "--agents",
        "main,beta",
        "--default",
        "main",
        "--label",
        LABEL,
        "--rpm",
        "30",
        "--apply",
      ],
      { cwd },
    );
    guest = await json(
      ["new", "--id", "guest", "--agents", "beta", "--expires", "2099-01-01", "--apply=file"],
      { cwd },
    );
    assert.deepEqual(Object.keys(phone), [
      "applied",
      "entry",
      "file",
      "id",
      "in_force",
      "key",
      "list",
      "worker",
    ]);
    assert.match(phone.key, KEY);
    assert.deepEqual([phone.applied, phone.file, phone.worker], [["file"], ".dev.vars", null]);
    const text = readFileSync(join(cwd, ".dev.vars"), "utf8");
    assert.equal(
      text,
      `# mine\r\nOTHER = 'kept'   # and this\r\nCLIENT_KEYS=\`${phone.entry}\r\n${guest.entry}\`\r\n`,
    );
    assert.ok(!text.includes(phone.key) && !text.includes("claw_"));
    assert.equal(statSync(join(cwd, ".dev.vars")).mode & 0o777, 0o640);
    assert.deepEqual(readdirSync(cwd), [".dev.vars"]);
    // A key that has expired already cannot be made.
    assert.equal(
      (
        await keys(
          ["new", "--id", "late", "--agents", "beta", "--expires", "2001-01-01", "--apply"],
          { cwd },
        )
      ).code,
      2,
    );
    writeFileSync(join(cwd, ".dev.vars"), text.replace("2099", "2001"));
    guest.entry = guest.entry.replace("2099", "2001");

    const worker = await startWorker({
      vars: { ...vars, ...parseAsWrangler(readFileSync(join(cwd, ".dev.vars"))) },
    });
    stops.push(worker.stop);
    const response = await post(worker, phone, says("hi [[fake deltas=1]]"));
    assert.equal(response.status, 200);
    await response.text();
    const own = await (
      await fetch(`${worker.url}/v1/key`, { headers: { authorization: `Bearer ${phone.key}` } })
    ).json();
    assert.deepEqual([own.id, own.label], ["phone", LABEL]);
    assert.deepEqual(await statuses(guest.key), [401], "it has expired");
  });

  test("list and show print the keys", async () => {
    const { file, keys: listed, secrets } = await json(["list", "--static"], { cwd });
    assert.equal(file, ".dev.vars");
    assert.deepEqual(
      listed.map(({ id, state, rotating, entry }) => [id, state, rotating, entry]),
      [
        ["phone", "good", false, undefined],
        ["guest", "expired", false, undefined],
      ],
    );
    assert.deepEqual(secrets, [
      { name: "CLIENT_KEYS", bytes: phone.entry.length + guest.entry.length + 1, limit: 5000 },
    ]);
    const shown = await json(["show", "phone", "--static"], { cwd });
    assert.deepEqual(
      [shown.entry, shown.label, shown.requests_per_minute, shown.default_agent],
      [phone.entry, LABEL, 30, "main"],
    );
    const table = (await keys(["list", "--static"], { cwd })).stdout;
    assert.match(table, /^phone {2}good +main,beta {2}never +Anna's old phone # 2$/m);
    assert.match(table, /^guest {2}expired {2}beta +2001-01-01$/m);
    assert.equal((await keys(["show", "nobody", "--static"], { cwd })).code, 6);
  });

  test("without --apply nothing changes", async () => {
    const before = readFileSync(join(cwd, ".dev.vars"), "utf8");
    for (const args of [
      ["new", "--static", "--id", "x", "--agents", "*"],
      ["rotate", "--static", "phone"],
      ["revoke", "--static", "phone"],
    ]) {
      const { code, stdout } = await keys(args, { cwd });
      assert.equal(code, 0);
      assert.match(stdout, /^Nothing was changed/m);
      assert.ok(!KEY.test(stdout), "a key that will never work is not shown");
      assert.ok(!stdout.includes("kept"), "other variables are not shown");
    }
    assert.equal(readFileSync(join(cwd, ".dev.vars"), "utf8"), before);
  });

  test("while a key is replaced both are good, then the new one alone", async () => {
    renewed = await json(["rotate", "phone", "--apply"], { cwd });
    assert.notEqual(renewed.key, phone.key);
    assert.deepEqual(await statuses(phone.key, renewed.key), [200, 200]);
    const again = await keys(["rotate", "phone", "--apply"], { cwd });
    assert.equal(again.code, 5);
    assert.equal(again.stdout, "");
    const finished = await json(["rotate", "phone", "--finish", "--apply"], { cwd });
    assert.equal(finished.key, undefined);
    assert.deepEqual(await statuses(phone.key, renewed.key), [401, 200]);
    assert.equal((await keys(["rotate", "phone", "--finish", "--apply"], { cwd })).code, 5);
  });

  test("check names a key's owner, or the reason of its refusal, as the Worker would", async () => {
    const check = (key, ...more) =>
      keys(["check", "--key-stdin", "--json", ...more], { cwd, input: `${key}\n` });
    const verdict = async (key, ...more) => {
      const { code, stdout } = await check(key, ...more);
      const { id, reason } = JSON.parse(stdout).key;
      assert.ok(!stdout.includes(key));
      return [code, id ?? reason];
    };
    assert.deepEqual(await verdict(renewed.key), [0, "phone"]);
    assert.deepEqual(await verdict(phone.key), [7, "key_wrong_secret"]);
    assert.deepEqual(await verdict(guest.key), [7, "key_expired"]);
    assert.deepEqual(await verdict("sk-something-else"), [7, "key_malformed"]);
    const home = await json(
      ["new", "--id", "home", "--agents", "*", "--networks", "203.0.113.0/24", "--apply"],
      { cwd },
    );
    assert.deepEqual(await verdict(home.key), [7, "key_network"]);
    assert.deepEqual(await verdict(home.key, "--address", "203.0.113.7"), [0, "home"]);
    assert.deepEqual(await verdict(home.key, "--address", "198.51.100.1"), [7, "key_network"]);
    assert.equal((await keys(["check"], { cwd })).stdout, "3 keys, no mistakes.\n");
  });

  test("a revoked key gets 401", async () => {
    const revoked = await json(["revoke", "phone", "--apply"], { cwd });
    assert.deepEqual([revoked.id, revoked.entry, revoked.key], ["phone", null, undefined]);
    assert.equal(revoked.in_force, null, "no deployed Worker is known");
    assert.deepEqual(await statuses(renewed.key), [401]);
    assert.match(
      readFileSync(join(cwd, ".dev.vars"), "utf8"),
      /^# mine\r\nOTHER = 'kept' {3}# and this\r\nCLIENT_KEYS=`guest sha256:/,
    );
  });
});

test("every shell can complete the command", async () => {
  for (const shell of ["bash", "zsh", "fish", "powershell", "elvish"]) {
    const { code, stdout } = await clawfront(["completions", shell]);
    assert.equal(code, 0);
    assert.match(stdout, /not-before/, shell);
  }
});
