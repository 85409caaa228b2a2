// Tests `clawfront keys` with a deployed Worker: it sends the list to Cloudflare, and waits until the
// list is in force.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startCloudflare, wranglerFor } from "../support/cloudflare.mjs";
import { startDeployed } from "../support/deployed.mjs";
import { parseAsWrangler } from "../support/dotenv.mjs";
import { KEY, keys, LABEL, own } from "../support/keys-command.mjs";
import { startSim } from "../support/sim.mjs";

describe("the deployed Worker", () => {
  let cwd, api, env;
  before(async () => {
    api = await startCloudflare();
    cwd = own("deployed");
    env = wranglerFor(cwd, api);
    mkdirSync(join(cwd, "below"));
    writeFileSync(join(cwd, "below/.env"), "WRANGLER_LOG=debug\nWRANGLER_LOG_SANITIZE=false\n");
  });
  after(() => api.stop());

  const push = (args, more = {}) =>
    keys([...args, "--name", "front"], { cwd: join(cwd, "below"), env, ...more });

  test("one request sets the list, in file and Worker", async () => {
    const { code, stdout, stderr } = await push([
      "new",
      "--id",
      "phone",
      "--agents",
      "main",
      "--label",
      LABEL,
      "--apply=both",
      "--json",
    ]);
    assert.equal(code, 0, stderr);
    const { applied, entry, key, worker } = JSON.parse(stdout);
    assert.deepEqual(applied, ["file", "worker"]);
    assert.deepEqual(worker, { set: ["CLIENT_KEYS"], deleted: [] });
    assert.deepEqual(api.take(), [
      { method: "GET", path: "/accounts/account/workers/scripts/front/secrets", body: null },
      {
        method: "PATCH",
        path: "/accounts/account/workers/scripts/front/secrets-bulk",
        body: {
          secrets: { CLIENT_KEYS: { name: "CLIENT_KEYS", text: entry, type: "secret_text" } },
        },
      },
    ]);
    assert.equal(parseAsWrangler(readFileSync(join(cwd, "below/.dev.vars"))).CLIENT_KEYS, entry);
    assert.ok(!stderr.includes(key));
  });

  test("a list beyond one secret is spread, comes back to one, and leaves nothing behind", async () => {
    const entries = Array.from(
      { length: 80 },
      (_, n) =>
        `k${n} sha256:${String(n).padStart(3, "0")}d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab agents=main`,
    );
    const input = `# eighty\n${entries.join("\n")}\n`;
    const args = [
      "new",
      "--id",
      "last",
      "--agents",
      "builder",
      "--file",
      "-",
      "--apply=worker",
      "--env",
      "staging",
    ];
    const refused = await push(args, { input });
    assert.deepEqual(
      [refused.code, refused.stdout],
      [5, ""],
      "whose keys the Worker has is not known here",
    );
    assert.match(refused.stderr, /--replace/);
    assert.deepEqual(
      api.take().map(({ method }) => method),
      ["GET"],
    );
    const spread = await push([...args, "--replace"], { input });
    assert.equal(spread.code, 0, spread.stderr);
    assert.match(spread.stderr, /no others: CLIENT_KEYS, CLIENT_KEYS_2 set\.$/m);
    const [{ path }, { body }] = api.take();
    assert.equal(path, "/accounts/account/workers/scripts/front-staging/secrets");
    const { secrets } = body;
    const texts = [secrets.CLIENT_KEYS.text, secrets.CLIENT_KEYS_2.text];
    assert.ok(texts.every((text) => text.length <= 5000));
    assert.equal(`# eighty\n${texts.join("\n")}\n`, spread.stdout, "comments stay at home");
    assert.ok(spread.stdout.startsWith(input) && !KEY.test(spread.stdout));

    const lost = await push(["push"]);
    assert.equal(lost.code, 5, "eighty keys would be lost");
    assert.match(lost.stderr, /CLIENT_KEYS_2\) that were not pushed from this list/);
    const pushed = await push(["push", "--replace"]);
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.equal(
      pushed.stdout,
      "The Worker's keys are now this list, and no others: CLIENT_KEYS set, CLIENT_KEYS_2 deleted.\n",
    );
    assert.equal(api.take().at(-1).body.secrets.CLIENT_KEYS_2, null);
    assert.deepEqual(Object.keys(api.secrets), ["CLIENT_KEYS"]);
  });

  test("the last key's end is the end of the secret", async () => {
    const { stdout, stderr, code } = await push(["revoke", "phone", "--apply=both"]);
    assert.equal(code, 9, "the key has not been refused yet");
    assert.match(stderr, /not seen to be refused/);
    assert.match(stdout, /^No key is left/m);
    assert.deepEqual(api.take().at(-1).body, { secrets: { CLIENT_KEYS: null } });
  });

  test("a refusal by Cloudflare changes nothing and is reported", async () => {
    const file = join(cwd, "below/.dev.vars");
    const before = readFileSync(file, "utf8");
    api.refuse = true;
    const refused = await push(["new", "--id", "bot", "--agents", "main", "--apply=both"]);
    api.refuse = false;
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /^clawfront: `wrangler secret bulk` failed \(exit status: 1\)\n/);
    assert.match(refused.stderr, /Authentication error/);
    assert.ok(!/sha256:|claw_|\u001b/.test(refused.stderr), refused.stderr);
    assert.equal(readFileSync(file, "utf8"), before);
    assert.deepEqual(readdirSync(join(cwd, "below")).sort(), [".dev.vars", ".env"]);
    api.take();
    const missing = await keys(
      ["new", "--id", "bot", "--agents", "main", "--apply=both", "--name", "nowhere"],
      { cwd: join(cwd, "below"), env },
    );
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /Worker "nowhere" not found/);
    assert.deepEqual(
      api.take().map(({ method }) => method),
      ["GET"],
      "no Worker was made",
    );
  });

  test("nothing secret was an argument, in the environment, or in wrangler's logs", () => {
    const argv = readFileSync(join(cwd, "argv"), "utf8");
    assert.match(argv, /^secret list --name front\nsecret bulk --name front\n/);
    const logs = readdirSync(join(cwd, "logs")).map((name) =>
      readFileSync(join(cwd, "logs", name), "utf8"),
    );
    assert.ok(logs.length > 0);
    for (const text of [argv, readFileSync(join(cwd, "env"), "utf8"), ...logs])
      assert.ok(!/sha256:[0-9a-f]{64}|claw_[a-z0-9-]+_[a-z2-7]{32}/.test(text), text);
  });
});

describe("a key that is taken back", () => {
  let cwd, api, env, deployed, sim;
  before(async () => {
    api = await startCloudflare();
    cwd = own("revoked");
    env = wranglerFor(cwd, api);
    sim = await startSim();
    api.secrets = { GATEWAY_URL: sim.url, GATEWAY_TOKEN: sim.token };
    deployed = await startDeployed(api);
    writeFileSync(join(cwd, ".dev.vars"), `CLAWFRONT_URL=${deployed.url}\n`);
  });
  after(async () => {
    await deployed.stop();
    await sim.stop();
    await api.stop();
  });

  const change = (args) =>
    keys([...args, ...(args.includes("--apply") ? [] : ["--name", "front"])], { cwd, env });
  const status = async (key) =>
    (await fetch(`${deployed.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })).status;

  test("the command ends once the deployed Worker refuses it, and says where it is still good", async () => {
    const made = await change([
      "new",
      "--id",
      "phone",
      "--agents",
      "main",
      "--apply=both",
      "--json",
    ]);
    assert.equal(made.code, 0, made.stderr);
    const { key, in_force } = JSON.parse(made.stdout);
    assert.deepEqual([in_force, await status(key)], [true, 200]);
    assert.equal(
      (await change(["new", "--id", "spare", "--agents", "main", "--apply=both"])).code,
      0,
    );

    const here = await change(["revoke", "phone", "--apply"]);
    assert.equal(here.code, 9);
    assert.match(here.stderr, new RegExp(`STILL GOOD at ${deployed.url}.*keys push --replace`));
    assert.equal(await status(key), 200, "it is true");

    const missing = await change(["push"]);
    assert.deepEqual([missing.code, missing.stderr.match(/lacks: (.*)\. Fix/)?.[1]], [5, "phone"]);
    const pushed = await change(["push", "--replace"]);
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.equal(await status(key), 401, "not one request later");

    const last = await change(["revoke", "spare", "--apply=both"]);
    assert.equal(last.code, 0, last.stderr);
    assert.match(last.stderr, /^Refused now \(401\) at /m);
    assert.equal(await status(key), 500, "a Worker without keys is closed");
  });

  test("a Worker that keeps the old list is not taken for done", async () => {
    const changed = api.changed;
    api.changed = undefined;
    try {
      const made = await keys(
        ["new", "--id", "late", "--agents", "main", "--apply=both", "--name", "front"],
        { cwd, env: { ...env, CLAWFRONT_WAIT_S: "1" } },
      );
      assert.equal(made.code, 9, made.stderr);
      assert.match(made.stderr, /^Not yet in force at /m);
    } finally {
      api.changed = changed;
    }
  });

  test("a key that was made is shown, also where somebody ends the wait for the Worker", async () => {
    const changed = api.changed;
    api.changed = undefined;
    try {
      for (const [id, signal, more] of [
        ["ended", "SIGINT", []],
        ["ended-too", "SIGTERM", ["--json"]],
      ]) {
        const options = { cwd, env, onStderr: endWait(signal) };
        const made = await keys(
          ["new", "--id", id, "--agents", "main", "--apply=both", "--name", "front", ...more],
          options,
        );
        assert.equal(made.code, 9, made.stderr);
        assert.match(made.stdout, KEY);
      }
    } finally {
      api.changed = changed;
    }
  });

  test("an address that nobody can read holds up no revocation", async () => {
    const path = join(cwd, ".dev.vars");
    const before = readFileSync(path, "utf8");
    const given = await change(["revoke", "ended", "--apply=both", "--worker", "host.example"]);
    assert.deepEqual([given.code, readFileSync(path, "utf8")], [2, before], given.stderr);
    writeFileSync(path, before.replace(/^CLAWFRONT_URL=.*$/m, "CLAWFRONT_URL=host.example"));
    const kept = await change(["revoke", "ended", "--apply=both"]);
    assert.equal(kept.code, 9, kept.stderr);
    assert.match(kept.stderr, /^warning: CLAWFRONT_URL in the file is not a URL/m);
    assert.doesNotMatch(api.secrets.CLIENT_KEYS, /^ended /m);
  });
});

/** Sends a signal once the command waits for the Worker. */
const endWait = (signal) => (stderr, child) => {
  if (stderr.includes("Waiting until")) child.kill(signal);
};
