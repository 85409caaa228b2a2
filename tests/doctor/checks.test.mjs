// Tests the report of `clawfront doctor` about a gateway that works, about settings, and about a
// deployed Worker.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import { checksOf, clawfront } from "../support/command.mjs";
import { doctor, folder, operator, phone, SECRETS } from "../support/doctor.mjs";
import { newKey } from "../support/front.mjs";
import { startSim } from "../support/sim.mjs";
import { answering, listen } from "../support/stand-ins.mjs";
import { startWorker } from "../support/worker.mjs";

const states = (checks) => Object.values(checks).map(({ state }) => state);

describe("a gateway that works", () => {
  for (const protocol of [4, 3]) {
    test(`protocol ${protocol}`, async () => {
      const sim = await startSim({ protocol, token: SECRETS.GATEWAY_TOKEN });
      try {
        const { code, checks, text } = await doctor({ GATEWAY_URL: sim.url }, ["--run"]);
        assert.equal(checks.run.state, "ok", JSON.stringify(checks));
        assert.equal(checks.protocol.words, String(protocol));
        assert.equal(checks.agents.words, "main, beta");
        assert.deepEqual(
          [checks.pairing.state, code],
          ["warning", 8],
          "a shared secret works, and is not the best",
        );
        assert.deepEqual([checks.healthz.state, checks.clock.state], ["not_checked", "ok"]);
        const lines = (await text()).stdout.trimEnd().split("\n");
        const summary = lines.findIndex((line) =>
          /^\d+ warnings? \(.*\), \d+ ok, \d+ not checked$/.test(line),
        );
        assert.ok(summary > 0, lines.join("\n"));
        const made = lines.slice(0, summary - 1);
        for (const line of made)
          assert.match(
            line,
            /^(ok|warning|problem) {1,}[a-z]+ {2,}\S|^ {28}→ |^not checked {2}[a-z, ]+: \S/,
          );
        assert.ok(
          made.some((line) =>
            /^not checked {2}healthz, readyz, chat, bots: needs --worker/.test(line),
          ),
          "one line for a reason",
        );
      } finally {
        await sim.stop();
      }
    });
  }

  test("keys that name agents that are not there", async () => {
    const sim = await startSim({ token: SECRETS.GATEWAY_TOKEN });
    try {
      const { code, checks } = await doctor({
        GATEWAY_URL: sim.url,
        CLIENT_KEYS: newKey("guest", "main,gone").entry,
      });
      assert.deepEqual([code, checks.agents.state], [1, "problem"]);
      assert.match(checks.agents.words, /^guest may reach gone: the gateway has main, beta$/);
    } finally {
      await sim.stop();
    }
  });
});

test("a key whose clients' model openclaw would be a 404", async () => {
  const sim = await startSim({ token: SECRETS.GATEWAY_TOKEN, args: ["--no-default-agent"] });
  try {
    const entries = [
      phone,
      newKey("sole", "main"),
      newKey("chosen", "main,beta", "--default", "beta"),
    ];
    const { code, checks } = await doctor({
      GATEWAY_URL: sim.url,
      CLIENT_KEYS: entries.map(({ entry }) => entry).join(";"),
    });
    assert.deepEqual([code, checks.models.state], [8, "warning"]);
    assert.match(checks.models.words, /^the model openclaw is a 404 for phone: /);
    assert.match(checks.models.mend, /default=/);
  } finally {
    await sim.stop();
  }
});

describe("settings", () => {
  test("all mistakes are reported at once, and no check that needs the settings runs", async () => {
    const { code, checks } = await doctor({
      GATEWAY_URL: undefined,
      CLIENT_KEYS: "phone s3cret agents=main",
    });
    assert.deepEqual([code, checks.configuration.state], [4, "problem"]);
    assert.match(checks.configuration.words, /GATEWAY_URL: .*; CLIENT_KEYS: /);
    assert.deepEqual(new Set(states(checks)), new Set(["problem", "not_checked", "ok"]));
  });

  test("a secret that is too large", async () => {
    const { checks } = await doctor({
      GATEWAY_URL: "wss://gateway.invalid",
      MODEL_ALIASES: `# ${"x".repeat(5000)}`,
    });
    assert.equal(checks.sizes.state, "problem");
    assert.match(checks.sizes.words, /MODEL_ALIASES has 5002 bytes/);
  });

  test("a wrangler configuration without the settings that the Worker needs", async () => {
    const config = join(folder, "old.toml");
    writeFileSync(config, 'name = "x"\ncompatibility_date = "2024-01-01"\n');
    assert.equal(
      (await doctor({ GATEWAY_URL: "wss://gateway.invalid" })).checks.compatibility.state,
      "ok",
    );
    const file = join(folder, "x.vars");
    writeFileSync(file, "");
    const old = await clawfront(["doctor", "--json", "--file", file, "--config", config]);
    const check = checksOf(old.stdout).compatibility;
    assert.match(check.words, /enable_request_signal.*2026-11-01/);
  });
});

describe("a deployed Worker", () => {
  test("is asked as its clients ask it", async () => {
    const sim = await startSim({ token: SECRETS.GATEWAY_TOKEN });
    const worker = await startWorker({
      vars: { GATEWAY_URL: sim.url, ...SECRETS, CLIENT_KEYS: `${phone.entry}\n${operator.entry}` },
    });
    try {
      const seen = async (key) =>
        (await doctor({ GATEWAY_URL: sim.url }, ["--worker", worker.url], { CLAWFRONT_KEY: key }))
          .checks;
      const stranger = await seen("");
      assert.deepEqual(
        [stranger.bots.state, stranger.healthz.state, stranger.readyz.state],
        ["ok", "ok", "warning"],
      );
      assert.equal((await seen(operator.key)).readyz.state, "ok");
      assert.equal((await seen("")).readyz.state, "ok");
      assert.match((await seen("claw_phone_wrong")).readyz.words, /CLAWFRONT_KEY/);
      assert.equal(stranger.chat.state, "not_checked");
      const asked = async (key) =>
        (
          await doctor({ GATEWAY_URL: sim.url }, ["--worker", `${worker.url}/v1`, "--run"], {
            CLAWFRONT_KEY: key,
          })
        ).checks;
      const good = await asked(phone.key);
      assert.deepEqual(
        [good.healthz.state, good.chat.state],
        ["ok", "ok"],
        JSON.stringify(good.chat),
      );
      const bad = await asked("claw_phone_wrong");
      assert.deepEqual(
        [bad.chat.state, bad.chat.words.startsWith("HTTP 401, invalid_api_key")],
        ["problem", true],
      );
      assert.equal(
        (await asked(operator.key)).chat.state,
        "warning",
        "a key without the scope chat",
      );
    } finally {
      await worker.stop();
      await sim.stop();
    }
  });

  test("bot protection in front of it, or another site", async () => {
    const ours = { "content-type": "application/json", "x-request-id": "1" };
    const guarded = await listen(
      createServer((request, response) => {
        const isBot = /^OpenAI\//.test(request.headers["user-agent"]);
        if (isBot)
          response
            .writeHead(403, { "content-type": "text/html", "cf-mitigated": "challenge" })
            .end("<title>Just a moment</title>");
        else response.writeHead(request.url === "/readyz" ? 503 : 200, ours).end("{}");
      }),
    );
    const other = await listen(answering(200, { "content-type": "text/html" }, "s3cret"));
    try {
      const { checks, code } = await doctor({ GATEWAY_URL: "wss://gateway.invalid" }, [
        "--worker",
        `http://127.0.0.1:${guarded.port}`,
      ]);
      assert.deepEqual(
        [checks.healthz.state, checks.readyz.state, checks.bots.state, code],
        ["ok", "problem", "problem", 1],
      );
      assert.match(checks.bots.words, /OpenAI\/Python.*HTTP 403.*OpenAI\/JS.*HTTP 403/);
      const site = await doctor({ GATEWAY_URL: "wss://gateway.invalid" }, [
        "--worker",
        `http://127.0.0.1:${other.port}`,
      ]);
      assert.match(site.checks.healthz.words, /not the Worker/);
    } finally {
      await guarded.stop();
      await other.stop();
    }
  });
});
