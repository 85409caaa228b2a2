// Tests that `clawfront doctor` names the cause of a failed connection: faults of a gateway, and other
// servers instead of one.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { makeCertificate } from "../support/certificate.mjs";
import { doctor, folder, reported, SECRETS } from "../support/doctor.mjs";
import { startSim } from "../support/sim.mjs";
import { answering, CASES, listen, webSocketServer, withEndpoint } from "../support/stand-ins.mjs";

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

/** Answers of the gateway's HTTP endpoint, the code and the fix. */
const REFUSALS = [
  [404, {}, "http_endpoint_off", /chatCompletions\.enabled.*POST \/v1\/chat\/completions/],
  [405, {}, "http_endpoint_off", /chatCompletions\.enabled/],
  [401, { error: { type: "unauthorized" } }, "http_endpoint_identity", /docs\/client-tools\.md/],
  [403, { error: { type: "forbidden" } }, "http_endpoint_identity", /docs\/client-tools\.md/],
  [403, { error: { type: "proxy_attribution_required" } }, "proxy_attribution_required", /trusted/],
  [503, { error: { type: "service_unavailable" } }, "origin_down", /try again in \d+ s/],
  [400, "s3cret", "not_a_gateway", /proxy's route/],
];

describe("an HTTP endpoint that answers", () => {
  let sim;
  before(async () => (sim = await startSim({ token: SECRETS.GATEWAY_TOKEN })));
  after(() => sim.stop());

  for (const [status, body, code, mend] of REFUSALS) {
    test(`${status} ${JSON.stringify(body)}`, async () => {
      const { port, stop } = await listen(withEndpoint(sim.url, () => [status, body]));
      try {
        const found = await doctor({
          GATEWAY_URL: `ws://127.0.0.1:${port}`,
          GATEWAY_HTTP: "trusted-proxy",
        });
        const { tools, agents } = found.checks;
        assert.deepEqual([agents.state, tools.state, tools.code], ["ok", "problem", code]);
        assert.match(tools.mend, mend);
        assert.equal(found.code, 1);
      } finally {
        await stop();
      }
    });
  }
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
    const mute = [createServer(() => {}), webSocketServer(() => {})];
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
    ({ key, cert } = makeCertificate(folder));
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

// Last, because all other tests must have recorded their codes.
test("every code of the table has been reported, here or in another test", () => {
  const table = readFileSync(join(ROOT, "core/src/failure/diagnosis.rs"), "utf8");
  const codes = [
    ...table.slice(table.indexOf("Self::Dns => (")).matchAll(/Self::\w+ => \(\s*"(\w+)"/g),
  ].map(([, code]) => code);
  assert.ok(codes.length >= 39, `${codes.length} codes`);
  assert.deepEqual(
    codes.filter((code) => !reported.has(code) && !ELSEWHERE[code]),
    [],
  );
  assert.deepEqual(
    Object.keys(ELSEWHERE).filter((code) => reported.has(code) || !codes.includes(code)),
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
        reported.get(code)?.has(name),
        `${code} for ${name}: it is reported for ${[...(reported.get(code) ?? [])].join(", ") || "nothing"}`,
      );
    }
  }
});
