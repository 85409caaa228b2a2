// Tests `clawfront doctor` with a gateway that works, and with other servers and faults in its
// place.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CLI, ROOT } from "../scripts/paths.mjs";
import { newDevice, newKey } from "./support/front.mjs";
import { startSim } from "./support/sim.mjs";
import { answering, CASES, listen, speaking } from "./support/stand-ins.mjs";
import { startWorker } from "./support/worker.mjs";

const SECRETS = { GATEWAY_TOKEN: "s3cret-token", DEVICE_KEY: newDevice().device_key };
const phone = newKey("phone", "main,beta");
const operator = newKey("operator", "main", "--scopes", "status");

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-doctor-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Every code that a test here has seen, with the checks that reported it. */
const told = new Map();
let files = 0;
/**
 * Runs it on these variables; `{ code, stdout, stderr, checks }`. Whatever it says, it says no
 * secret.
 */
async function doctor(vars, args = [], env = {}) {
  files += 1;
  const file = join(folder, `${files}.vars`);
  const text = Object.entries({ CLIENT_KEYS: phone.entry, ...SECRETS, ...vars })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}='${value}'\n`);
  writeFileSync(file, text.join(""));
  const all = ["doctor", "--file", file, "--config", join(ROOT, "wrangler.toml"), ...args];
  const run = (more) =>
    new Promise((resolve) => {
      execFile(
        CLI,
        [...all, ...more],
        { encoding: "utf8", cwd: folder, env: { ...process.env, ...env } },
        (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }),
      );
    });
  const result = await run(["--json"]);
  for (const secret of [
    ...Object.values(SECRETS),
    vars.DEVICE_TOKEN,
    phone.key,
    operator.key,
    "s3cret",
    phone.entry.match(/sha256:(\w+)/)[1],
  ].filter(Boolean)) {
    assert.ok(!(result.stdout + result.stderr).includes(secret), `${secret} in ${result.stdout}`);
  }
  const checks = result.stdout
    ? Object.fromEntries(JSON.parse(result.stdout).checks.map((check) => [check.name, check]))
    : {};
  for (const { name, code } of Object.values(checks))
    if (code) told.set(code, (told.get(code) ?? new Set()).add(name));
  return { ...result, checks, text: () => run([]) };
}

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

/** Faults of the simulated gateway: the check that fails, its code, the fix, and the exit code. */
const FAULTS = [
  ["proxy-attribution", "proxy", "proxy_attribution_required", /gateway\.trustedProxies/, 1],
  ["access-302", "upgrade", "access_login", /ACCESS_CLIENT_ID/, 1],
  ["html-200", "upgrade", "html_page", /itself/, 1],
  ["not-found-404", "upgrade", "not_a_gateway", /correct GATEWAY_URL/, 1],
  ["upgrade-426", "upgrade", "not_a_gateway", /correct GATEWAY_URL/, 1],
  ["status-503", "upgrade", "origin_down", /try again in \d+ s/, 1],
  ["close-before-challenge", "handshake", "closed_before_challenge", /log/, 1],
  ["startup", "handshake", "gateway_starting", /try again in \d+ s/, 1],
  ["protocol-mismatch", "protocol", "protocol_mismatch", /version of OpenClaw/, 1],
  ["auth-rate-limited", "pairing", "auth_lockout", /try again in \d+ s/, 1],
  ["wide-scopes", "scopes", "scopes_too_wide", /X-Forwarded-For.*GATEWAY_SCOPES=any/, 1],
  ["no-write-scope", "scopes", "missing_scope", /operator\.read and operator\.write/, 1],
];

describe("a gateway that does not", () => {
  let sim, remote;
  before(async () => {
    sim = await startSim({ token: SECRETS.GATEWAY_TOKEN });
    remote = await startSim({ token: SECRETS.GATEWAY_TOKEN, args: ["--require-device"] });
  });
  after(() => Promise.all([sim.stop(), remote.stop()]));

  for (const [fault, name, code, mend, exit] of FAULTS) {
    test(fault, async () => {
      await sim.reset();
      await sim.fault(fault);
      const found = await doctor({ GATEWAY_URL: sim.url });
      const check = found.checks[name];
      assert.equal(check?.state, "problem", JSON.stringify(found.checks, null, 1));
      assert.equal(check.code, code);
      assert.match(check.mend, mend);
      assert.equal(found.code, exit);
      const order = Object.keys(found.checks);
      const [before, behind] = [
        order.slice(0, order.indexOf(name)),
        order.slice(order.indexOf(name) + 1, order.indexOf("healthz")),
      ];
      assert.ok(
        before.every((earlier) => ["ok", "warning"].includes(found.checks[earlier].state)),
        "the checks before it pass",
      );
      assert.ok(
        behind.every((later) => found.checks[later].state === "not_checked"),
        "the checks that need it are skipped",
      );
      await sim.reset();
    });
  }

  test("a device that is not approved: the exact command, and a code of its own", async () => {
    const { code, checks } = await doctor({ GATEWAY_URL: remote.url });
    assert.deepEqual([checks.pairing.code, code], ["device_unpaired", 3]);
    assert.match(checks.pairing.mend, /openclaw devices approve \S+$/);
  });

  test("a shared secret that is wrong", async () => {
    const { checks } = await doctor({ GATEWAY_URL: sim.url, GATEWAY_TOKEN: "s3cret-other" });
    assert.equal(checks.pairing.code, "gateway_token_mismatch");
  });
});

/**
 * Waits for the operator on the gateway's host: scripts distinguish it from a mistake by the exit
 * code.
 */
const TO_BE_APPROVED = ["device_unpaired", "scope_upgrade", "metadata_upgrade"];

/** Codes of the table that doctor has no occasion to say, and where they are tested. */
const ELSEWHERE = {
  dns_or_tls_failure:
    "doctor makes the connection itself and knows which; of the Worker: link.test",
  taken_for_local:
    "only behind a proxy: openclaw/proxy.test; of the Worker, over a binding: link.test",
  gateway_silent:
    "behind the hello, where doctor has seen enough; of an exchange: core/tests/exchange",
  gateway_closed: "the same",
};

describe("a server that is not a gateway, or one that refuses", () => {
  for (const [what, make, , , cause, , hint] of CASES) {
    test(`${what}: ${cause}`, async () => {
      const { port, stop } = await listen(make());
      try {
        const { checks, code, stdout } = await doctor({ GATEWAY_URL: `ws://127.0.0.1:${port}` });
        const problems = Object.values(checks).filter(
          ({ state, name }) => state === "problem" && name !== "healthz",
        );
        assert.deepEqual(
          problems.map((check) => check.code),
          [cause],
          stdout,
        );
        const [{ words, mend }] = problems;
        assert.match(`${words}: ${mend}`, hint);
        assert.equal(code, TO_BE_APPROVED.includes(cause) ? 3 : 1);
      } finally {
        await stop();
      }
    });
  }

  test("nothing listens", async () => {
    const { port, stop } = await listen(createServer());
    await stop();
    const { checks } = await doctor({ GATEWAY_URL: `ws://127.0.0.1:${port}` });
    assert.deepEqual(
      [checks.dns.state, checks.tcp.code, checks.tls.state],
      ["ok", "connection_refused", "not_checked"],
    );
  });

  test("a server that never answers, and one that opens a WebSocket and never sends a frame", async () => {
    const mute = [createServer(() => {}), speaking(() => {})];
    const hosts = await Promise.all(mute.map(listen));
    try {
      const [connect, handshake] = await Promise.all(
        hosts.map(({ port }) => doctor({ GATEWAY_URL: `ws://127.0.0.1:${port}` })),
      );
      assert.deepEqual(
        [connect.checks.upgrade.code, handshake.checks.handshake.code],
        ["connect_timeout", "handshake_timeout"],
      );
      for (const { mend } of [connect.checks.upgrade, handshake.checks.handshake])
        assert.ok(mend.length > 20, mend);
    } finally {
      await Promise.all(hosts.map(({ stop }) => stop()));
    }
  });

  test("a name without an address", async () => {
    const { checks } = await doctor({ GATEWAY_URL: "wss://gateway.invalid" });
    assert.deepEqual([checks.dns.code, checks.tcp.state], ["dns_failure", "not_checked"]);
  });
});

describe("TLS", () => {
  let key, cert;
  before(() => {
    const args = [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=localhost",
    ];
    [key, cert] = ["tls-key.pem", "tls-cert.pem"].map((name) => join(folder, name));
    execFileSync(
      "openssl",
      [
        ...args,
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        key,
        "-out",
        cert,
      ],
      { stdio: "ignore" },
    );
  });

  test("an untrusted certificate and a missing host are distinguished, and a certificate of a named authority is good", async () => {
    const server = createHttpsServer(
      { key: readFileSync(key), cert: readFileSync(cert) },
      (_, response) => response.writeHead(404).end(),
    );
    const { port, stop } = await listen(server);
    try {
      const vars = { GATEWAY_URL: `wss://localhost:${port}` };
      const unknown = await doctor(vars);
      assert.deepEqual([unknown.checks.tcp.state, unknown.checks.tls.code], ["ok", "tls_failure"]);
      assert.match(unknown.checks.tls.mend, /public authority/);
      const known = await doctor(vars, ["--ca", cert]);
      assert.deepEqual(
        [known.checks.tls.state, known.checks.upgrade.code],
        ["ok", "not_a_gateway"],
      );
      const other = await doctor({ GATEWAY_URL: `wss://127.0.0.1:${port}` }, ["--ca", cert]);
      assert.equal(other.checks.tls.code, "tls_failure", "it is not this host's");
    } finally {
      await stop();
    }
  });

  test("a port without TLS", async () => {
    const { port, stop } = await listen(answering(404));
    try {
      assert.equal(
        (await doctor({ GATEWAY_URL: `wss://localhost:${port}` })).checks.tls.code,
        "tls_failure",
      );
    } finally {
      await stop();
    }
  });
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
    const old = await new Promise((resolve) =>
      execFile(CLI, ["doctor", "--json", "--file", file, "--config", config], (_, stdout) =>
        resolve(JSON.parse(stdout)),
      ),
    );
    const check = old.checks.find(({ name }) => name === "compatibility");
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
      createHttpServer((request, response) => {
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

// Last, because all other tests must have recorded their codes.
test("every code of the table has been reported, here or in another test", () => {
  const table = readFileSync(join(ROOT, "core/src/failure/diagnosis.rs"), "utf8");
  const codes = [
    ...table.slice(table.indexOf("Self::Dns => (")).matchAll(/Self::\w+ => \(\s*"(\w+)"/g),
  ].map(([, code]) => code);
  assert.ok(codes.length >= 39, `${codes.length} codes`);
  assert.deepEqual(
    codes.filter((code) => !told.has(code) && !ELSEWHERE[code]),
    [],
  );
  assert.deepEqual(
    Object.keys(ELSEWHERE).filter((code) => told.has(code) || !codes.includes(code)),
    [],
  );
});

test("docs/deploy.md names checks and codes as doctor reports them", () => {
  const rows = [
    ...readFileSync(join(ROOT, "docs/deploy.md"), "utf8").matchAll(/^\| `(\w+)` · ([^|]*)\|/gm),
  ];
  assert.ok(rows.length >= 9, `${rows.length} rows`);
  for (const [, name, cell] of rows) {
    for (const [, code] of cell.matchAll(/`(\w+)`/g)) {
      // A host that drops packets is not to be had here.
      if (name === "tcp" && code === "connect_timeout") continue;
      assert.ok(
        told.get(code)?.has(name),
        `${code} for ${name}: it is reported for ${[...(told.get(code) ?? [])].join(", ") || "nothing"}`,
      );
    }
  }
});
