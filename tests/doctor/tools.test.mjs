// Tests what `clawfront doctor` reports about clients' tools: the settings, and the gateway's HTTP
// endpoint.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { doctor, phone, SECRETS } from "../support/doctor.mjs";
import { newKey } from "../support/front.mjs";
import { startSim } from "../support/sim.mjs";
import {
  listen,
  sharedToken,
  trustedProxy,
  withEndpoint,
  withUser,
} from "../support/stand-ins.mjs";

const caller = newKey("caller", "main", "--tools", "run");
const entries = `${phone.entry}\n${caller.entry}`;

/** Returns the report about a gateway whose endpoint answers so, and the requests to it. */
async function ask(sim, answer, vars) {
  const requests = [];
  const { port, stop } = await listen(
    withEndpoint(sim.url, (request, text) => {
      requests.push({ ...request.headers, line: `${request.method} ${request.url}`, text });
      return answer(request, text);
    }),
  );
  try {
    const GATEWAY_URL = `ws://127.0.0.1:${port}`;
    const { code, checks } = await doctor({ GATEWAY_URL, CLIENT_KEYS: entries, ...vars });
    return { code, tools: checks.tools, requests, host: `127.0.0.1:${port}` };
  } finally {
    await stop();
  }
}

describe("clients' tools", () => {
  let sim;
  before(async () => (sim = await startSim({ token: SECRETS.GATEWAY_TOKEN })));
  after(() => sim.stop());

  test("the endpoint is asked as the Worker asks it, and once without a user", async () => {
    const { tools, requests, host } = await ask(sim, trustedProxy, {
      GATEWAY_HTTP: "trusted-proxy",
    });
    assert.equal(tools.state, "ok", JSON.stringify(tools));
    assert.equal(tools.words, "the endpoint takes the user of a key, and nobody without one");
    const same = {
      line: "POST /v1/chat/completions",
      text: '{"model":"openclaw","stream":true,"messages":[]}',
      host,
      connection: "close",
      "content-length": "48",
      "content-type": "application/json",
      accept: "text/event-stream",
      "x-openclaw-scopes": "operator.read,operator.write",
      "x-openclaw-agent-id": "main",
      "x-openclaw-session-key": `agent:main:edge:doctor:run:${"0".repeat(32)}`,
    };
    assert.deepEqual(requests, [
      {
        ...same,
        "x-forwarded-user": "key-doctor",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-proto": "https",
      },
      same,
    ]);
  });

  test("the operator's headers are sent, the endpoint's own ones win", async () => {
    const withTunnel = (request, text) =>
      request.headers["x-tunnel"] === "s3cret" ? trustedProxy(request, text) : [401, {}];
    const { tools, requests } = await ask(sim, withTunnel, {
      GATEWAY_HTTP: "trusted-proxy",
      GATEWAY_HEADERS: "x-tunnel: s3cret\naccept: text/html",
    });
    assert.equal(tools.state, "ok", JSON.stringify(tools));
    assert.deepEqual(
      requests.map((request) => [request["x-tunnel"], request.accept]),
      [
        ["s3cret", "text/event-stream"],
        ["s3cret", "text/event-stream"],
        [undefined, "text/event-stream"],
      ],
    );
  });

  test("an operator's header that nobody wants protects nothing", async () => {
    const { tools, code } = await ask(sim, trustedProxy, {
      GATEWAY_HTTP: "trusted-proxy",
      GATEWAY_HEADERS: "x-tunnel: s3cret",
    });
    assert.deepEqual([tools.state, code], ["problem", 1]);
    assert.match(tools.words, /without the headers of ACCESS_CLIENT_ID and GATEWAY_HEADERS/);
    assert.match(tools.mend, /refuse every request without them/);
  });

  test("an endpoint that lets everybody in", async () => {
    const everybody = ({ headers }, text) => withUser(headers, text);
    const { tools, code } = await ask(sim, everybody, { GATEWAY_HTTP: "trusted-proxy" });
    assert.deepEqual([tools.state, code], ["problem", 1]);
    assert.match(
      tools.words,
      /names no user, so everybody who reaches the gateway's address is let in/,
    );
    assert.match(tools.mend, /gateway\.auth/);
  });

  test("another header for the user", async () => {
    const other = ({ headers, ...request }, text) =>
      trustedProxy({ ...request, headers: { ...headers, "x-forwarded-user": "" } }, text);
    const named = (request, text) =>
      request.headers["x-user"] === "key-doctor"
        ? withUser(request.headers, text)
        : other(request, text);
    const vars = { GATEWAY_HTTP: "trusted-proxy", GATEWAY_HTTP_USER: "X-User" };
    assert.equal((await ask(sim, named, vars)).tools.state, "ok");
    const { tools } = await ask(sim, named, { GATEWAY_HTTP: "trusted-proxy" });
    assert.equal(tools.code, "http_endpoint_identity");
  });

  test("a shared token works, and its runs have the owner's rights", async () => {
    const answer = sharedToken(SECRETS.GATEWAY_TOKEN);
    const { tools, requests, code } = await ask(sim, answer, { GATEWAY_HTTP: "shared-token" });
    assert.deepEqual([tools.state, requests.length, code], ["warning", 1, 8]);
    assert.match(
      tools.words,
      /GATEWAY_TOKEN, so each run with tools has all rights of the gateway/,
    );
    assert.match(tools.mend, /trusted-proxy/);
    const wrong = await ask(sim, sharedToken("another"), { GATEWAY_HTTP: "shared-token" });
    assert.equal(wrong.tools.code, "http_endpoint_identity");
  });

  test("no key that uses it is a note", async () => {
    const vars = { GATEWAY_HTTP: "trusted-proxy", CLIENT_KEYS: phone.entry };
    const { tools } = await ask(sim, trustedProxy, vars);
    assert.equal(tools.state, "ok");
    assert.match(tools.words, /; no key of CLIENT_KEYS has tools=run$/);
  });

  test("a key that would use it, where it is off", async () => {
    const { tools, requests } = await ask(sim, trustedProxy, {});
    assert.deepEqual([tools.state, requests], ["warning", []]);
    assert.match(tools.words, /^GATEWAY_HTTP is not set, so .* a 400 for caller, with tools=run$/);
    const none = await ask(sim, trustedProxy, { CLIENT_KEYS: phone.entry });
    assert.deepEqual([none.tools.state, none.requests], ["not_checked", []]);
  });
});

test("a gateway of protocol 3 is not asked", async () => {
  const sim = await startSim({ protocol: 3, token: SECRETS.GATEWAY_TOKEN });
  try {
    const { tools, requests, code } = await ask(sim, trustedProxy, {
      GATEWAY_HTTP: "trusted-proxy",
    });
    assert.deepEqual([tools.state, requests, code], ["problem", [], 1]);
    assert.match(tools.words, /protocol 3 does not call the tools of clients/);
    assert.match(tools.mend, /2026\.9/);
  } finally {
    await sim.stop();
  }
});
