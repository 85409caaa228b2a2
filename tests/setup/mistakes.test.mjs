// Tests the errors of `clawfront setup`, and that it changes nothing then.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FIRST_KEY, own, run, TOKEN } from "../support/setup.mjs";
import { startSim } from "../support/sim.mjs";

describe("an address without a gateway", () => {
  /** Options, environment, the code, and the message. */
  const CASES = [
    [
      "nothing is known",
      [],
      {},
      2,
      /missing: --gateway, --key, --agents, GATEWAY_TOKEN\. Fix: set them$/,
    ],
    [
      "no secret",
      ["--gateway", "wss://gateway.invalid", ...FIRST_KEY],
      {},
      2,
      /missing: GATEWAY_TOKEN\. Fix: set them$/,
    ],
    [
      "an address that is none",
      ["--gateway", "ftp://gateway", ...FIRST_KEY],
      { GATEWAY_TOKEN: TOKEN },
      4,
      /GATEWAY_URL: .*begin with wss/,
    ],
    [
      "a port that is none",
      ["--gateway", "127.0.0.1:99999", ...FIRST_KEY],
      { GATEWAY_TOKEN: TOKEN },
      4,
      /is not a URL\. Fix: .* a port below 65536/,
    ],
    [
      "a port where nothing listens",
      ["--gateway", "127.0.0.1:1", ...FIRST_KEY],
      { GATEWAY_TOKEN: TOKEN },
      1,
      /connection_refused/,
    ],
    [
      "a URL without a port",
      ["--gateway", "ws://127.0.0.1", ...FIRST_KEY],
      { GATEWAY_TOKEN: TOKEN },
      1,
      /port 80, as the address names none; OpenClaw's is 18789/,
    ],
    [
      "an id that is none",
      ["--gateway", "wss://gateway.invalid", "--key", "My Phone", "--agents", "main"],
      { GATEWAY_TOKEN: TOKEN },
      2,
      /an id is/,
    ],
    [
      "agents that are none",
      ["--gateway", "wss://gateway.invalid", "--key", "phone", "--agents", " , "],
      { GATEWAY_TOKEN: TOKEN },
      2,
      /no agent is named/,
    ],
    [
      "an address in the clear",
      ["--gateway", "ws://gateway.invalid", ...FIRST_KEY],
      { GATEWAY_TOKEN: TOKEN },
      4,
      /in the clear/,
    ],
    [
      "a host without an address",
      ["--gateway", "wss://gateway.invalid", ...FIRST_KEY],
      { GATEWAY_TOKEN: TOKEN },
      1,
      /dns_failure/,
    ],
  ];
  for (const [name, args, env, code, words] of CASES) {
    test(name, async () => {
      const cwd = own("none");
      const result = await run(cwd, args, env);
      assert.deepEqual([result.code, result.stdout], [code, ""], result.stderr);
      assert.match(result.stderr, words);
      assert.ok(!result.stderr.includes(TOKEN));
      assert.ok(!existsSync(join(cwd, ".dev.vars")), "nothing was kept");
    });
  }

  test("a shared secret that is wrong", async () => {
    const sim = await startSim({ token: TOKEN });
    try {
      const { code, stderr } = await run(own("wrong"), ["--gateway", sim.url, ...FIRST_KEY], {
        GATEWAY_TOKEN: "s3cret-other",
      });
      assert.equal(code, 1);
      assert.match(stderr, /gateway_token_mismatch/);
      assert.ok(!stderr.includes("s3cret"));
    } finally {
      await sim.stop();
    }
  });

  test("an agent that the gateway lacks", async () => {
    const sim = await startSim({ token: TOKEN });
    const cwd = own("agents");
    try {
      const typo = await run(cwd, ["--gateway", sim.url, "--key", "phone", "--agents", "mian"], {
        GATEWAY_TOKEN: TOKEN,
      });
      assert.equal(typo.code, 2);
      assert.match(typo.stderr, /no agent mian; it has main, beta\. Did you mean main\?/);
      const good = await run(cwd, ["--key", "phone", "--agents", "main"]);
      assert.equal(good.code, 0, good.stderr);
      assert.match(good.stdout, /^Next: .*`npm run deploy`/m);
    } finally {
      await sim.stop();
    }
  });

  test("a gateway that is starting is waited for", async () => {
    const sim = await startSim({ token: TOKEN });
    try {
      // One is met by the first look whether a gateway answers.
      await sim.fault("startup", 2);
      const { code, stderr } = await run(own("starting"), ["--gateway", sim.url, ...FIRST_KEY], {
        GATEWAY_TOKEN: TOKEN,
      });
      assert.equal(code, 0, stderr);
      assert.match(stderr, /gateway_starting/);
    } finally {
      await sim.stop();
    }
  });
});
