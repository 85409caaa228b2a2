// The life of a device at a real gateway, with the gateway's own command: unpaired, approved,
// rotated, revoked, paired again.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { checksOf, startClawfront } from "../support/command.mjs";
import { variables } from "../support/dev-vars.mjs";
import { lines, pairDevice, post, says, until } from "../support/front.mjs";
import { protocol, version } from "../support/openclaw.mjs";
import { sharedTunnel } from "../support/shared-openclaw.mjs";
import { startWorker } from "../support/worker.mjs";

const APPROVE = /openclaw devices approve ([0-9a-f-]{36})/;

describe(`a device's life at OpenClaw ${version}`, () => {
  let front, cwd, key, deviceId;
  before(async () => {
    front = await sharedTunnel();
    cwd = join(front.dir, "edge");
    mkdirSync(cwd);
  });
  after(() => front?.stop());

  /** Starts `clawfront` with these variables only. */
  const clawfront = (args, env = {}) =>
    startClawfront(args, { cwd, env: { PATH: process.env.PATH, ...env } });
  const setup = () =>
    clawfront(["setup", "--gateway", front.tunnel.url, "--key", "phone", "--agents", "main"], {
      GATEWAY_TOKEN: front.token,
    });
  const vars = () => variables(cwd);

  /** The checks of `clawfront doctor`, and its exit code. */
  async function doctor() {
    const { code, stdout, stderr } = await clawfront(["doctor", "--json"]).ended;
    assert.ok(stdout, stderr);
    for (const secret of [front.token, vars().DEVICE_KEY, vars().DEVICE_TOKEN].filter(Boolean))
      assert.ok(!stdout.includes(secret));
    return { code, checks: checksOf(stdout) };
  }

  /** Returns the output of the gateway's own command about devices, which must succeed. */
  async function openclaw(...args) {
    const { code, stdout, stderr } = await front.gateway.cli([
      "devices",
      ...args,
      "--token",
      front.token,
      "--url",
      front.gateway.url,
    ]);
    assert.equal(code, 0, `devices ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Devices of Workers, as the gateway's own command lists them. */
  const named = async () =>
    Object.fromEntries(
      JSON.parse(await openclaw("list", "--json"))
        .paired.filter(({ platform }) => platform === "cloudflare-workers")
        .map((device) => [device.deviceId, device.displayName]),
    );

  /**
   * Runs setup and approves what the operator is asked to approve; `asked` is whether the
   * operator was asked.
   */
  async function setUpAndApprove() {
    const running = setup();
    let result;
    running.ended.then((ended) => (result = ended));
    const request = () => running.printed().match(APPROVE);
    await until("it names the command, or ends", () => request() ?? result, 60_000);
    if (request()) await openclaw("approve", request()[1]);
    return { asked: Boolean(request()), ...(await running.ended) };
  }

  /** Returns the response's status, and the cause in the Worker's log. */
  async function asks() {
    const worker = await startWorker({ vars: vars() });
    try {
      const { status } = await post(worker, { key }, says("hi [[fake deltas=1]]"));
      const line = await until("the line is there", () => lines(worker)[0]);
      return [status, line.cause];
    } finally {
      await worker.stop();
    }
  }

  test("unpaired: setup waits for the operator, then everything works", async () => {
    const before = await named();
    const result = await setUpAndApprove();
    assert.ok(result.asked, result.stderr);
    assert.equal(result.code, 0, result.stderr + result.stdout);
    [key] = result.stdout.match(/claw_phone_\w{32}/);
    const { code, checks } = await doctor();
    assert.equal(code, 0, JSON.stringify(checks));
    assert.ok(checks.handshake.words.includes(version), checks.handshake.words);
    assert.equal(vars().GATEWAY_TOKEN, undefined);
    assert.deepEqual(await asks(), [200, undefined]);
    const { device_id } = JSON.parse((await clawfront(["device", "new", "--json"]).ended).stdout);
    assert.match(device_id, /^[0-9a-f]{64}$/);
    const paired = Object.keys(await named()).filter((id) => !(id in before));
    assert.equal(paired.length, 1);
    [deviceId] = paired;
  });

  test("rotated: doctor and setup say so, and setup gets the new token", async () => {
    await openclaw("rotate", "--device", deviceId, "--role", "operator");
    const { code, checks } = await doctor();
    assert.deepEqual(
      [code, checks.pairing.state, checks.pairing.code],
      [1, "problem", "device_token_mismatch"],
    );
    assert.deepEqual(await asks(), [502, "device_token_mismatch"]);
    const again = await setup().ended;
    assert.equal(again.code, 0, again.stderr + again.stdout);
    assert.match(again.stderr, /pairing it again/);
    assert.deepEqual(await asks(), [200, undefined], "with the same client key");
  });

  test("revoked: it has to be approved again", async () => {
    await openclaw("revoke", "--device", deviceId, "--role", "operator");
    const { code, checks } = await doctor();
    assert.deepEqual([code, checks.pairing.state], [1, "problem"]);
    assert.equal(checks.pairing.code, "device_token_mismatch");
    assert.deepEqual(await asks(), [502, "device_token_mismatch"]);
    const again = await setUpAndApprove();
    assert.equal(again.code, 0, again.stderr + again.stdout);
    if (protocol === 4) assert.ok(again.asked, again.stderr);
    assert.equal((await doctor()).code, 0);
    assert.deepEqual(await asks(), [200, undefined]);
  });

  test("another device's key: the token is not its", async () => {
    const kept = readFileSync(join(cwd, ".dev.vars"), "utf8");
    const other = JSON.parse(
      (await clawfront(["device", "new", "--json"]).ended).stdout,
    ).device_key;
    writeFileSync(join(cwd, ".dev.vars"), kept.replace(vars().DEVICE_KEY, other));
    const { code, checks } = await doctor();
    writeFileSync(join(cwd, ".dev.vars"), kept);
    assert.equal(checks.pairing.state, "problem");
    assert.ok(
      ["device_token_mismatch", "device_unpaired"].includes(checks.pairing.code),
      checks.pairing.code,
    );
    assert.ok([1, 3].includes(code));
  });

  // 2026.3 takes no client as local if the gateway has trusted proxies, and it has none here;
  // 2026.9 pairs without asking.
  test("a second device that is paired on the gateway's host leaves the first one alone", async () => {
    const kept = readFileSync(join(cwd, ".dev.vars"), "utf8");
    const use = (device) =>
      writeFileSync(
        join(cwd, ".dev.vars"),
        kept
          .replace(vars().DEVICE_KEY, device.device_key)
          .replace(vars().DEVICE_TOKEN, device.device_token),
      );
    try {
      const first = pairDevice(front.gateway.url, front.token);
      use(first);
      assert.deepEqual(await asks(), [200, undefined]);
      if (protocol === 4) agePairings(front.gateway.stateDir);
      const second = pairDevice(front.gateway.url, front.token);
      const names = await named();
      for (const { device_id } of [first, second])
        assert.equal(names[device_id], `clawfront-${device_id.slice(0, 8)}`);
      assert.equal((await doctor()).checks.pairing.state, "ok");
      assert.deepEqual(await asks(), [200, undefined]);
    } finally {
      writeFileSync(join(cwd, ".dev.vars"), kept);
    }
  });
});

/**
 * A gateway keeps devices that it approved less than a minute ago. Source: openclaw 2026.9.6,
 * PRUNE_RECENT_APPROVAL_GRACE_MS, read.
 */
const SPARED_MS = 60_000;

/** Lets every pairing be older than that, in the gateway's own state. */
function agePairings(stateDir) {
  const database = new DatabaseSync(join(stateDir, "state/openclaw.sqlite"), { timeout: 10_000 });
  const { changes } = database
    .prepare("UPDATE device_pairing_paired SET approved_at_ms = approved_at_ms - ?")
    .run(2 * SPARED_MS);
  database.close();
  assert.ok(changes > 0, "there are pairings");
}
