// Tests slow requests: blank lines, which every SDK skips, keep a whole answer alive; a body that
// does not arrive is given up.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { post, says, sdk, startFront, until } from "./support/front.mjs";
import { words } from "./support/prompts.mjs";
import { openUpload } from "./support/upload.mjs";

/** When the head is sent, and how long after that a client that left is noticed at the latest. */
const HEAD_MS = 30_000;
const BEAT_MS = 15_000;
/** How long a body is waited for. */
const BODY_MS = 30_000;

// Each waits for half a minute: all at once.
describe("whole answers that take long", { concurrency: true }, () => {
  let front;
  before(async () => (front = await startFront({ simArgs: ["--tick-ms", "5000"] })));
  after(() => front.stop());
  const run = async (session) =>
    (await front.sim.journal()).runs.filter(({ sessionKey }) => sessionKey.endsWith(`=${session}`));

  test("blank lines come before the object, and the SDK reads it", async () => {
    const seconds = HEAD_MS / 1000 + 2;
    const content = `hi [[fake deltas=${seconds} delay=1000]]`;
    const completion = sdk(front.worker, front.phone, { maxRetries: 2 }).chat.completions.create(
      says(content, { user: "long" }),
    );
    const response = await post(front.worker, front.phone, says(content, { user: "raw" }));
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/json");
    const body = await response.text();
    assert.match(body, /^\n+\{"id":"chatcmpl-[^\n]*\}$/);
    assert.equal(JSON.parse(body).choices[0].message.content, words(seconds));
    assert.equal((await completion).choices[0].message.content, words(seconds));
    assert.equal((await run("long")).length, 1);
  });

  test("a failure after that is an error object, and the SDK does not send the request again", async () => {
    const content = `hi [[fake deltas=60 delay=1000 streamerror=${HEAD_MS / 1000 + 2}]]`;
    const completion = await sdk(front.worker, front.phone, {
      maxRetries: 2,
    }).chat.completions.create(says(content, { user: "failing" }));
    assert.equal(completion.error.code, "run_failed");
    assert.equal(completion.choices, undefined);
    assert.equal((await run("failing")).length, 1);
  });

  test("a client that leaves after that stops its run", async () => {
    const controller = new AbortController();
    const response = await post(
      front.worker,
      front.phone,
      says("hi [[fake stall=1]]", { user: "leaving" }),
      { signal: controller.signal },
    );
    assert.equal(response.status, 200);
    controller.abort();
    await until(
      "the run is stopped",
      async () => (await run("leaving"))[0].ended === "aborted",
      BEAT_MS + 2_000,
    );
  });

  for (const [name, drip] of [
    ["stalls", () => {}],
    ["drips", (upload) => upload.send(" ")],
  ]) {
    test(`a body that ${name} is given up, and nothing is started`, async () => {
      const began = performance.now();
      const upload = await openUpload(front.worker, front.phone, { length: 1000, sent: "{" });
      const dripping = setInterval(() => drip(upload), 1_000);
      const { status, code } = await upload.answer();
      clearInterval(dripping);
      upload.stop();
      assert.deepEqual([status, code], [408, "request_timeout"]);
      assert.ok(performance.now() - began >= BODY_MS - 1_000);
    });
  }
});
