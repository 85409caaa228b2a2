// Tests the questions of `clawfront setup` at a terminal, and `clawfront device pair`.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { CLI } from "../../scripts/paths.mjs";
import { clawfront } from "../support/command.mjs";
import { variables } from "../support/dev-vars.mjs";
import { clean, FIRST_KEY, folder, own, TOKEN } from "../support/setup.mjs";
import { startSim } from "../support/sim.mjs";
import { atTerminal } from "../support/terminal.mjs";

describe("at a terminal", () => {
  const ask = (cwd, args, answers) =>
    atTerminal(CLI, ["setup", ...args], answers, { cwd, env: { ...clean(), NO_COLOR: "1" } });

  test("a wrong answer is followed by the reason and the question again, and nothing secret is shown", async () => {
    const sim = await startSim({
      token: TOKEN,
      args: ["--agent", "main", "--agent", "beta", "--no-default-agent"],
    });
    const cwd = own("terminal");
    const address = sim.url.replace("ws://", "");
    try {
      const { code, output } = await ask(
        cwd,
        [],
        [
          ["Address of the gateway", ""],
          [/the address is empty.*Address/s, "ftp://x"],
          [/begin with wss.*Address/s, "127.0.0.1:1"],
          [/connection_refused.*Address of the gateway[^[]*\[ws:\/\/127\.0\.0\.1:1\]: $/s, address],
          ["token or password (not shown)", "s3cret-wrong"],
          [/wants its token.*not shown/s, TOKEN],
          ["Name of the first client key", "My Phone"],
          [/an id is.*Name/s, "phone"],
          [/1 {2}main\r?\n +2 {2}beta.*Agents that it may reach/s, ""],
          [/at least one.*Agents/s, "gamma"],
          [/no agent gamma; it has main, beta\..*Agents/s, "2, main"],
        ],
      );
      assert.equal(code, 0, output);
      assert.ok(!output.includes("s3cret"), output);
      assert.match(output, new RegExp(`A gateway answers at ws://${address}`));
      assert.match(output, /names no agent goes to beta/);
      const { GATEWAY_URL, CLIENT_KEYS } = variables(cwd);
      assert.equal(GATEWAY_URL, `ws://${address}`);
      const [phone, ops, ...more] = CLIENT_KEYS.split("\n");
      assert.match(phone, /^phone sha256:[0-9a-f]{64} agents=beta,main default=beta$/);
      assert.match(ops, /^ops sha256:[0-9a-f]{64} scopes=admin$/);
      assert.deepEqual(more, []);
      assert.match(output, /^Next: .*`npm run deploy`/m);
    } finally {
      await sim.stop();
    }
  });

  for (const protocol of [4, 3]) {
    test(`protocol ${protocol}: a gateway with a password is given it as one`, async () => {
      const sim = await startSim({ protocol, password: TOKEN });
      const cwd = own("password");
      try {
        const { code, output } = await ask(
          cwd,
          ["--gateway", sim.url, ...FIRST_KEY],
          [
            ["token or password (not shown)", "s3cret-wrong"],
            [
              /gateway_password_mismatch.*wants its password.*not shown|GATEWAY_PASSWORD.*not shown/s,
              TOKEN,
            ],
          ],
        );
        assert.equal(code, 0, output);
        assert.ok(!/s3cret|GATEWAY_TOKEN to/.test(output), output);
      } finally {
        await sim.stop();
      }
    });
  }

  test("an address that Cloudflare does not reach is pushed only on a plain yes", async () => {
    const sim = await startSim({ token: TOKEN });
    const cwd = own("private");
    try {
      const { code, output } = await ask(
        cwd,
        ["--gateway", sim.url, ...FIRST_KEY, "--apply", "both"],
        [
          ["Push it to the Worker anyway? (yes or no)", "no"],
          [/was not confirmed.*Address of the gateway/s, "\u0004"],
        ],
      );
      assert.notEqual(code, 0, output);
      assert.ok(!existsSync(join(cwd, ".dev.vars")));
    } finally {
      await sim.stop();
    }
  });
});

describe("device pair", () => {
  const pair = (url, { input = "", env = {} } = {}) =>
    clawfront(["device", "pair", "--url", url, "--json"], { env: { ...clean(), ...env }, input });

  for (const protocol of [4, 3]) {
    test(`protocol ${protocol}: takes the secret from the environment, a pipe or a person, as the gateway wants it`, async () => {
      const [byToken, byPassword] = await Promise.all([
        startSim({ protocol, token: TOKEN }),
        startSim({ protocol, password: TOKEN }),
      ]);
      try {
        for (const [sim, options] of [
          [byToken, { env: { GATEWAY_TOKEN: TOKEN } }],
          [byToken, { input: `${TOKEN}\n` }],
          [byPassword, { env: { GATEWAY_PASSWORD: TOKEN } }],
          [byPassword, { input: TOKEN }],
        ]) {
          const { code, stdout, stderr } = await pair(sim.url, options);
          assert.equal(code, 0, stderr);
          assert.deepEqual(Object.keys(JSON.parse(stdout)), [
            "device_id",
            "device_key",
            "device_token",
          ]);
        }
        const { code, output } = await atTerminal(
          CLI,
          ["device", "pair", "--url", byPassword.url],
          [["(not shown)", TOKEN]],
          { cwd: folder, env: clean() },
        );
        assert.equal(code, 0, output);
        assert.match(output, /^DEVICE_TOKEN=/m);
        assert.ok(!output.includes(TOKEN));
        const wrong = await pair(byPassword.url, { env: { GATEWAY_PASSWORD: "s3cret-wrong" } });
        assert.deepEqual([wrong.code, wrong.stdout], [1, ""]);
        assert.match(wrong.stderr, /gateway_password_mismatch.*GATEWAY_PASSWORD/);
        assert.ok(!wrong.stderr.includes("GATEWAY_TOKEN is"));
      } finally {
        await Promise.all([byToken.stop(), byPassword.stop()]);
      }
    });
  }

  test("reads an address as every command does, and names the missing part", async () => {
    const none = await pair("ws://127.0.0.1:1");
    assert.deepEqual([none.code, none.stdout], [2, ""]);
    assert.match(none.stderr, /GATEWAY_TOKEN or GATEWAY_PASSWORD/);
    const refused = await pair("ws://127.0.0.1", { input: TOKEN });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /connection_refused .*port 80, as the address names none/);
    assert.equal((await pair("wss://gateway.example.com", { input: TOKEN })).code, 2);
  });
});
