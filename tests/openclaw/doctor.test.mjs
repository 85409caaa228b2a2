// Tests what `clawfront doctor` reports about the HTTP endpoint of real gateways.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checksOf, clawfront } from "../support/command.mjs";
import { writeVariables } from "../support/dev-vars.mjs";
import { newKey, pairDevice } from "../support/front.mjs";
import { FOR_TOOLS, protocol, startOpenClawTunnel, version } from "../support/openclaw.mjs";
import { sharedTunnel } from "../support/shared-openclaw.mjs";

const caller = newKey("caller", "main", "--default", "main", "--tools", "run");

/** Pairs a device with a gateway. The result returns the check `tools`, with further settings. */
function toolsOf({ dir, gateway, tunnel, token, auth }) {
  const { device_key, device_token } = pairDevice(gateway.url, token, auth);
  return async (vars) => {
    const file = join(dir, "doctor.vars");
    writeVariables(file, {
      GATEWAY_URL: tunnel.url,
      DEVICE_KEY: device_key,
      DEVICE_TOKEN: device_token,
      CLIENT_KEYS: caller.entry,
      ...vars,
    });
    const { stdout } = await clawfront(["doctor", "--json", "--file", file]);
    for (const secret of [token, device_key, device_token]) assert.ok(!stdout.includes(secret));
    return checksOf(stdout).tools;
  };
}

const TRUSTED = { GATEWAY_HTTP: "trusted-proxy" };

describe(`doctor and a gateway of OpenClaw ${version} with a token`, () => {
  let front, tools;
  before(async () => {
    front = await sharedTunnel();
    tools = toolsOf(front);
  });
  after(() => front?.stop());

  if (protocol === 3) {
    test("nothing is asked of a gateway that cannot do it", async () => {
      const { state, words } = await tools(TRUSTED);
      assert.equal(state, "problem");
      assert.match(words, /protocol 3 does not call/);
    });
    return;
  }

  test("its token is taken, with a warning, and no other", async () => {
    const shared = { GATEWAY_HTTP: "shared-token" };
    const good = await tools({ ...shared, GATEWAY_TOKEN: front.token });
    assert.deepEqual([good.state, good.code], ["warning", null], JSON.stringify(good));
    const bad = await tools({ ...shared, GATEWAY_TOKEN: "wrong" });
    assert.equal(bad.code, "http_endpoint_identity", JSON.stringify(bad));
  });

  test("it takes no user", async () => {
    assert.equal((await tools(TRUSTED)).code, "http_endpoint_identity");
  });
});

if (protocol === 4) {
  describe(`doctor and a gateway of OpenClaw ${version} that trusts a proxy`, () => {
    let front, tools;
    before(async () => {
      front = await startOpenClawTunnel({ ...FOR_TOOLS, warm: false });
      tools = toolsOf(front);
    });
    after(() => front?.stop());

    test("it takes the user of a key, and nobody without one; no run is started", async () => {
      const { state, words } = await tools(TRUSTED);
      assert.deepEqual(
        [state, words],
        ["ok", "the endpoint takes the user of a key, and nobody without one"],
      );
      assert.deepEqual(front.provider.requests, []);
    });

    test("it knows no other header, and protects no header of ours", async () => {
      const other = await tools({ ...TRUSTED, GATEWAY_HTTP_USER: "x-user" });
      assert.equal(other.code, "http_endpoint_identity", JSON.stringify(other));
      const { state, words } = await tools({ ...TRUSTED, GATEWAY_HEADERS: "x-tunnel: 1" });
      assert.equal(state, "problem");
      assert.match(words, /without the headers of ACCESS_CLIENT_ID and GATEWAY_HEADERS/);
    });
  });

  describe(`doctor and a gateway of OpenClaw ${version} whose endpoint is off`, () => {
    let front;
    before(async () => {
      const http = { endpoints: { chatCompletions: { enabled: false } } };
      const settings = { ...FOR_TOOLS.settings, gateway: { http } };
      front = await startOpenClawTunnel({ ...FOR_TOOLS, settings, warm: false });
    });
    after(() => front?.stop());

    test("doctor names the setting", async () => {
      const { code, mend } = await toolsOf(front)(TRUSTED);
      assert.equal(code, "http_endpoint_off");
      assert.match(mend, /gateway\.http\.endpoints\.chatCompletions\.enabled/);
    });
  });
}
