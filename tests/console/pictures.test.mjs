// Takes the pictures of the documents: `CLAWFRONT_WRITE_PICTURES=1` writes them.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { admin, createKey, startAdminFront } from "../support/admin.mjs";
import { startChromium } from "../support/chromium.mjs";
import { post, says } from "../support/front.mjs";

/** All pictures together, in bytes: they are in every clone. */
const MAX_BYTES = 150_000;

const KEYS = {
  tablet: {
    ...{ label: "Anna's tablet", requests_per_minute: 30, concurrent_runs: 2 },
    ...{ tokens_per_day: 200_000, expires: "2099-06-30" },
  },
  webui: {
    ...{ label: "Open WebUI", agents: ["main", "beta"], default_agent: "main" },
    ...{ requests_per_minute: 60, concurrent_runs: 5 },
  },
  ci: { label: "Builds", scopes: ["chat"], concurrent_runs: 1, networks: ["203.0.113.0/24"] },
  bert: { label: "Bert, ext. 12", agents: ["beta"], disabled: true },
};

test("the pictures show the keys, and are small", async () => {
  const front = await startAdminFront({ withConsole: true });
  let chromium;
  try {
    chromium = await startChromium();
    const made = {};
    for (const [id, fields] of Object.entries(KEYS)) made[id] = await createKey(front, id, fields);
    await admin(front.worker, front.ops, "POST", "/keys/webui/rotate", { overlap_s: 86_400 });
    for (let count = 0; count < 3; count += 1)
      await (await post(front.worker, made.tablet, says("hi [[fake deltas=30]]"))).text();
    const url = `${front.worker.url}/console/`;
    const page = await chromium.open({ url, width: 1060, height: 420 });
    await page.type("Administrator's key", front.ops.key);
    await page.click("button", "Sign in");
    await page.sees("Anna's tablet");
    await page.sees("3 runs, ");
    const pictures = { "console-keys": await page.picture() };
    const long = says("hi [[fake deltas=4000 delay=20]]", { stream: true });
    for (const key of [made.tablet, made.webui]) await post(front.worker, key, long);
    await page.show({ width: 1060, height: 275 });
    await page.click("link", "Runs");
    await page.sees("2 runs now.");
    await page.holds("document.querySelectorAll('.good').length === 2");
    pictures["console-runs"] = await page.picture();
    await page.show({ width: 360, height: 640, scheme: "dark" });
    await page.click("link", "Keys");
    await page.sees("Anna's tablet");
    pictures["console-phone"] = await page.picture();
    const bytes = Object.values(pictures).reduce((sum, { length }) => sum + length, 0);
    assert.ok(bytes <= MAX_BYTES, `${bytes} bytes`);
    if (process.env.CLAWFRONT_WRITE_PICTURES)
      for (const [name, picture] of Object.entries(pictures))
        writeFileSync(join(ROOT, `docs/pictures/${name}.png`), picture);
  } finally {
    await chromium?.close();
    await front.stop();
  }
});
