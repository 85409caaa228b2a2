// A real gateway that has a password in place of a token: the command line gives it as one, and
// never says that a token is wrong.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { clawfront } from "../support/command.mjs";
import { startOpenClawTunnel, version } from "../support/openclaw.mjs";

describe(`a password at OpenClaw ${version}`, () => {
  let front;
  before(async () => (front = await startOpenClawTunnel({ auth: "password", warm: false })));
  after(() => front?.stop());

  const pair = ({ input = "", ...env }) =>
    clawfront(["device", "pair", "--url", front.gateway.url, "--json"], {
      env: { PATH: process.env.PATH, ...env },
      input,
    });

  test("pairs a device with it, from the environment and from a pipe", async () => {
    for (const given of [{ GATEWAY_PASSWORD: front.token }, { input: `${front.token}\n` }]) {
      const { code, stdout, stderr } = await pair(given);
      assert.equal(code, 0, stderr);
      assert.ok(JSON.parse(stdout).device_token);
    }
  });

  test("is named where another secret is given, whichever it was given as", async () => {
    for (const given of [
      { GATEWAY_PASSWORD: "wrong" },
      { GATEWAY_TOKEN: "wrong" },
      { input: "wrong\n" },
    ]) {
      const { code, stdout, stderr } = await pair(given);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /gateway_password_mismatch: .*set GATEWAY_PASSWORD/);
      assert.ok(!/wants its token/.test(stderr), stderr);
    }
  });
});
