// Tests how the console is served in front of the Worker, and which pages may administer.

import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { consoleFiles } from "../../package/console.mjs";
import { ROOT } from "../../scripts/paths.mjs";
import { startAdminFront } from "../support/admin.mjs";
import { eventsOf, post, says, textOf } from "../support/front.mjs";
import { refused } from "../support/keys.mjs";
import { words } from "../support/prompts.mjs";

/** All files together, in bytes: somebody with a slow line waits for them. */
const MAX_BYTES = 60_000;

let front;
before(async () => (front = await startAdminFront({ withConsole: true })));
after(() => front.stop());

const ask = (path, init) => fetch(front.worker.url + path, { redirect: "manual", ...init });

test("the files are small, and none of them names another host", () => {
  const folder = join(ROOT, "assets/console");
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(bytes <= MAX_BYTES, `${bytes} bytes`);
  for (const [path, { text }] of Object.entries(consoleFiles())) {
    const urls = text.match(/\b(?:https?|wss?):\/\/[^\s"'`,;)]+/g) ?? [];
    // The namespace of drawings, and an example of a web page's origin.
    const known = ["http://www.w3.org/2000/svg", "https://chat.example.com"];
    assert.deepEqual(
      urls.filter((url) => !known.includes(url)),
      [],
      path,
    );
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Storage/);
  }
});

test("every file has its type, the policy and a tag, with which it is not sent again", async () => {
  const files = Object.entries(consoleFiles());
  assert.ok(files.length >= 10);
  for (const [path, { text, headers }] of files) {
    const response = await ask(path);
    assert.equal(response.status, 200, path);
    assert.equal(await response.text(), text, path);
    for (const [name, value] of Object.entries(headers))
      assert.equal(response.headers.get(name), value, `${path} ${name}`);
    const again = await ask(path, { headers: { "if-none-match": headers.etag } });
    assert.deepEqual([again.status, await again.text()], [304, ""]);
    const head = await ask(path, { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  }
  const { headers } = await ask("/console/");
  const policy = headers.get("content-security-policy").split("; ");
  for (const part of [
    ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"],
    ...["form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'", "trusted-types 'none'"],
  ])
    assert.ok(policy.includes(part), part);
});

test("below /console only the console answers, and everywhere else only the Worker", async () => {
  for (const path of ["/console", "/console/index.html"]) {
    const { status, headers } = await ask(`${path}?a=1`);
    assert.deepEqual([status, headers.get("location")], [307, "/console/?a=1"]);
  }
  assert.equal((await ask("/console/none")).status, 404);
  assert.equal((await ask("/console/", { method: "POST" })).status, 405);
  for (const [path, status] of [
    ...[
      ["/", 200],
      ["/healthz", 200],
      ["/readyz", 503],
      ["/v1/models", 401],
      ["/_headers", 404],
    ],
    ...[
      ["/consoles", 404],
      ["/main.js", 404],
      ["/admin/v1/keys", 401],
    ],
  ]) {
    const response = await ask(path);
    assert.equal(response.status, status, path);
    assert.ok(response.headers.get("x-request-id"), path);
    await response.text();
  }
});

test("a stream and a whole answer pass as they are", async () => {
  const content = "hi [[fake deltas=40 delay=5]]";
  const bytes = await (
    await post(front.worker, front.phone, says(content, { stream: true }))
  ).text();
  assert.equal(textOf(eventsOf(bytes)), words(40));
  assert.ok(bytes.endsWith("data: [DONE]\n\n"));
  const whole = await (await post(front.worker, front.phone, says(content))).json();
  assert.equal(whole.choices[0].message.content, words(40));
});

test("a page of the same host may administer, and a page of another host may not", async () => {
  const list = (headers) =>
    ask("/admin/v1/keys", { headers: { authorization: `Bearer ${front.ops.key}`, ...headers } });
  const host = new URL(front.worker.url).host;
  // `fetch` sets this header itself, as if it were a page.
  for (const [origin, site, status] of [
    [`http://${host}`, "same-origin", 200],
    [`https://${host}`, "same-origin", 200],
    ["https://evil.example.com", "cross-site", 403],
    ["https://evil.example.com", "same-site", 403],
    ["null", "cross-site", 403],
    [undefined, "none", 200],
  ]) {
    const response = await list({ ...(origin && { origin }), "sec-fetch-site": site });
    assert.equal(response.status, status, `${origin} ${site}`);
    if (status === 403) assert.equal((await refused(response)).code, "origin_not_allowed");
    else await response.text();
    assert.equal(response.headers.get("access-control-allow-origin"), null);
  }
});
