// Tests the access of web pages: the origins of a key, and preflights.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newKey, post, says } from "../support/front.mjs";
import { frontWith, get, keyWith, refused } from "../support/keys.mjs";

describe("web pages", () => {
  const page = keyWith("page", "main", "origins=https://chat.example.com,http://localhost:3000");
  const server = newKey("server", "main");
  let front;
  before(async () => (front = await frontWith([page, server])));
  after(() => front.stop());

  const ORIGIN = "https://chat.example.com";
  const cors = ({ headers }) =>
    Object.fromEntries(
      [...headers].filter(([name]) => name.startsWith("access-control") || name === "vary"),
    );
  const ask = (key, origin) =>
    post(front.worker, key, says("hi [[fake deltas=1]]", { stream: true }), {
      headers: { origin },
    });

  test("a preflight from a page of any key is granted, before a key is sent", async () => {
    await front.sim.reset();
    const wanted =
      "authorization,content-type,x-openclaw-agent-id,x-stainless-arch,x-stainless-retry-count";
    const preflight = (origin) =>
      fetch(`${front.worker.url}/v1/chat/completions`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": wanted,
        },
      });
    const granted = await preflight(ORIGIN);
    assert.equal(granted.status, 204);
    assert.deepEqual(cors(granted), {
      "access-control-allow-headers": wanted,
      "access-control-allow-methods": "GET, POST, DELETE",
      "access-control-allow-origin": ORIGIN,
      "access-control-expose-headers": granted.headers.get("access-control-expose-headers"),
      "access-control-max-age": "7200",
      vary: "Origin, Access-Control-Request-Headers",
    });
    for (const origin of [
      "https://evil.example",
      "https://chat.example.com.evil.example",
      "null",
      "http://chat.example.com",
    ]) {
      const refusal = await preflight(origin);
      assert.equal(refusal.headers.get("access-control-allow-origin"), null);
      assert.deepEqual((({ status, code }) => [status, code])(await refused(refusal)), [
        403,
        "origin_not_allowed",
      ]);
    }
    assert.equal((await front.sim.journal()).connections, 0);
  });

  test("a page of any key reads the answers that need no key, and no other page does", async () => {
    for (const path of ["/", "/v1", "/healthz", "/readyz"]) {
      for (const [origin, allowed] of [
        [ORIGIN, ORIGIN],
        ["https://evil.example", null],
      ]) {
        const preflight = await fetch(`${front.worker.url}${path}`, {
          method: "OPTIONS",
          headers: { origin, "access-control-request-method": "GET" },
        });
        const answer = await fetch(`${front.worker.url}${path}`, { headers: { origin } });
        await answer.text();
        assert.deepEqual(
          [preflight, answer].map(({ headers }) => headers.get("access-control-allow-origin")),
          [allowed, allowed],
          `${path} ${origin}`,
        );
      }
      const own = await get(front.worker, page, path, { origin: ORIGIN });
      await own.text();
      assert.equal(own.headers.get("access-control-allow-origin"), ORIGIN, path);
    }
  });

  test("a page of the key reads answers, errors and the headers with the remaining quota", async () => {
    for (const response of [
      await ask(page, ORIGIN),
      await ask({ key: "claw_page_wrong" }, ORIGIN),
      await get(front.worker, page, "/v1/models", { origin: ORIGIN }),
    ]) {
      assert.equal(response.headers.get("access-control-allow-origin"), ORIGIN);
      assert.equal(response.headers.get("access-control-allow-credentials"), null);
      const exposed = response.headers.get("access-control-expose-headers").split(", ");
      for (const [name] of response.headers) {
        if (name.startsWith("x-") && name !== "x-accel-buffering")
          assert.ok(exposed.includes(name), name);
      }
      assert.match(response.headers.get("vary"), /Origin/);
      await response.text();
    }
  });

  test("a page that is not the key's gets nothing, and no run is started for it", async () => {
    await front.sim.reset();
    for (const origin of ["https://evil.example", "null"]) {
      const response = await ask(page, origin);
      assert.equal(response.headers.get("access-control-allow-origin"), null);
      assert.equal((await refused(response)).code, "origin_not_allowed");
    }
    assert.equal((await front.sim.journal()).connections, 0);
    // A key without pages is a program's: an Origin header means nothing, and no page can read the
    // answer.
    const response = await ask(server, ORIGIN);
    assert.deepEqual(
      [response.status, response.headers.get("access-control-allow-origin")],
      [200, null],
    );
    await response.text();
  });
});
