// A real gateway behind a real reverse proxy, set up as docs/deploy.md says, and not.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeCertificate } from "../support/certificate.mjs";
import { checksOf, clawfront } from "../support/command.mjs";
import { writeVariables } from "../support/dev-vars.mjs";
import { lines, newKey, pairDevice, post, says, until } from "../support/front.mjs";
import { startNginx } from "../support/nginx.mjs";
import { protocol, startOpenClawTunnel, version } from "../support/openclaw.mjs";
import { sharedTunnel } from "../support/shared-openclaw.mjs";
import { startWorker } from "../support/worker.mjs";

const phone = newKey("phone", "main,beta", "--default", "main");

/**
 * Puts nginx in front of a gateway, and pairs a device with it. `doctor` returns the report about a
 * way to the gateway.
 */
async function behindNginx(started) {
  const dir = join(started.dir, "proxy");
  mkdirSync(dir);
  const tls = makeCertificate(dir);
  const nginx = await startNginx({ port: started.gateway.port, dir, tls });
  const { device_key, device_token } = pairDevice(started.gateway.url, started.token);
  const device = { DEVICE_KEY: device_key, DEVICE_TOKEN: device_token };
  const bare = { GATEWAY_TOKEN: started.token };
  return {
    nginx,
    device,
    bare,
    async doctor(url, credential, args = []) {
      const file = join(dir, "edge.vars");
      writeVariables(file, { GATEWAY_URL: url, CLIENT_KEYS: phone.entry, ...credential });
      const { stdout } = await clawfront([
        "doctor",
        "--json",
        "--file",
        file,
        "--ca",
        tls.cert,
        ...args,
      ]);
      for (const secret of [started.token, device_key, device_token])
        assert.ok(!stdout.includes(secret));
      return checksOf(stdout);
    },
    /**
     * Returns a client's response from a Worker that goes this way, and the cause in the Worker's
     * log.
     */
    async asks(url, credential) {
      const worker = await startWorker({
        vars: { GATEWAY_URL: url, CLIENT_KEYS: phone.entry, ...credential },
        authorities: [readFileSync(tls.cert, "utf8")],
      });
      try {
        const { status } = await post(worker, phone, says("hi [[fake deltas=1]]"));
        const line = await until("the line is there", () => lines(worker)[0]);
        return [status, line.cause];
      } finally {
        await worker.stop();
      }
    },
    async stop() {
      await nginx.stop();
      await started.stop();
    },
  };
}

describe(`OpenClaw ${version} behind nginx that it trusts`, () => {
  let front;
  before(async () => (front = await behindNginx(await sharedTunnel())));
  after(() => front?.stop());

  test("a device with its own token runs an agent", async () => {
    const checks = await front.doctor(front.nginx.good, front.device, ["--run"]);
    assert.deepEqual(
      [checks.tls.state, checks.pairing.state, checks.scopes.state, checks.run.state],
      ["ok", "ok", "ok", "ok"],
      JSON.stringify(checks.run),
    );
    assert.deepEqual(await front.asks(front.nginx.good, front.device), [200, undefined]);
  });

  test("the shared token without a device is worth nothing from elsewhere", async () => {
    const checks = await front.doctor(front.nginx.good, front.bare);
    assert.deepEqual([checks.scopes.state, checks.scopes.code], ["problem", "missing_scope"]);
    assert.deepEqual(await front.asks(front.nginx.good, front.bare), [502, "missing_scope"]);
  });

  test("a proxy that drops the upgrade", async () => {
    const checks = await front.doctor(front.nginx.plain, front.device);
    // With its own page switched on, the gateway would answer that, and it would be
    // websocket_disabled.
    assert.deepEqual(
      [checks.upgrade.state, checks.upgrade.code],
      ["problem", "not_a_gateway"],
      JSON.stringify(checks.upgrade),
    );
    assert.deepEqual(await front.asks(front.nginx.plain, front.device), [502, "not_a_gateway"]);
  });

  test("a proxy that strips the forwarding headers", async () => {
    const bare = await front.doctor(front.nginx.stripping, front.bare);
    assert.equal(bare.scopes.state, "problem", JSON.stringify(bare.scopes));
    if (protocol === 4) assert.equal(bare.scopes.code, "taken_for_local");
    assert.deepEqual(await front.asks(front.nginx.stripping, front.bare), [502, bare.scopes.code]);
    assert.deepEqual(await front.asks(front.nginx.stripping, front.device), [200, undefined]);
    const device = await front.doctor(front.nginx.stripping, front.device);
    assert.equal(device.scopes.state, "ok");
  });
});

if (protocol === 4) {
  describe(`OpenClaw ${version} behind nginx that it does not trust`, () => {
    let front;
    before(async () => {
      front = await behindNginx(await startOpenClawTunnel({ trustedProxies: null, warm: false }));
    });
    after(() => front?.stop());

    test("doctor names the setting", async () => {
      const checks = await front.doctor(front.nginx.good, front.device);
      assert.deepEqual(
        [checks.upgrade.state, checks.proxy.code, checks.handshake.state],
        ["ok", "proxy_attribution_required", "not_checked"],
      );
      assert.match(checks.proxy.mend, /gateway\.trustedProxies/);
      assert.deepEqual(await front.asks(front.nginx.good, front.device), [
        502,
        "proxy_attribution_required",
      ]);
    });
  });
}
