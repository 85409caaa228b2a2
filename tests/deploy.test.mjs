// Tests that wrangler accepts the upload of `wrangler deploy`, and that the upload stays small
// enough to start quickly.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { ROOT } from "../scripts/paths.mjs";

/**
 * Largest upload, compressed, in KiB: the platform's free plan accepts 3 MiB, but each start
 * compiles it. The present size is 277.2 KiB.
 */
const MAX_UPLOAD_KIB = 279;

test("wrangler would deploy the Worker, with its Durable Object, and it is small", async () => {
  const outdir = mkdtempSync(join(tmpdir(), "clawfront-deploy-"));
  try {
    const { stdout } = await promisify(execFile)(
      "wrangler",
      ["deploy", "--dry-run", "--outdir", outdir],
      {
        cwd: ROOT,
        env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false" },
      },
    );
    const [, kib] = stdout.match(/gzip: ([\d.]+) KiB/) ?? assert.fail(stdout);
    assert.ok(Number(kib) <= MAX_UPLOAD_KIB, `${kib} KiB`);
    assert.match(stdout, /env\.HUB \(Hub\)/);
    assert.match(stdout, /Read \d\d files from the assets directory/);
    const module = readdirSync(outdir).find((name) => name.endsWith(".wasm"));
    const bytes = readFileSync(join(outdir, module));
    assert.ok(!bytes.includes("registry/src"), "no path of this machine");
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
});
