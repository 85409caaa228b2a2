// Tests a page in a headless Chromium that calls the API with openai-node across origins: the
// browser itself decides on preflights and on what a page may read.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { contract, startClientFront } from "../support/clients.mjs";
import { servePage } from "../support/page.mjs";

const page = await servePage();
contract("openai-node in Chromium", {
  adapter: page.adapter,
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
  start: async () => {
    const front = await startClientFront({ origin: page.origin });
    await page.open();
    return front;
  },
});

describe("a page in Chromium", () => {
  let front, allowed, stranger;
  before(async () => {
    allowed = await servePage();
    stranger = await servePage();
    front = await startClientFront({ origin: allowed.origin });
    await Promise.all([allowed.open(), stranger.open()]);
  });
  after(async () => {
    await Promise.all([allowed.close(), stranger.close()]);
    await front.stop();
  });

  test("may read the headers that programs read", async () => {
    const headers = await allowed.call("headers", {
      url: `${front.baseURL}/models`,
      key: front.page.key,
    });
    for (const name of ["x-request-id", "x-clawfront-models"])
      assert.ok(headers.includes(name), headers.join());
  });

  test("of another origin gets nothing, and nothing is run for it", async () => {
    const content = "hi [[fake deltas=1]]";
    assert.equal(
      (await allowed.adapter({ baseURL: front.baseURL, key: front.page.key }).ask({ content }))
        .text,
      "w0",
    );
    await front.sim.reset();
    for (const { key } of [front.page, front.phone]) {
      await assert.rejects(
        stranger.adapter({ baseURL: front.baseURL, key }).ask({ content }),
        (error) => error.kind === "APIConnectionError" && /Connection error/.test(error.message),
      );
    }
    assert.equal((await front.sim.journal()).runs.length, 0);
  });
});
