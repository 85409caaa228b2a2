// What `wrangler deploy` would upload: that wrangler takes it, and that it stays small enough to start quickly.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { ROOT } from "../scripts/paths.mjs";

/** What the upload may be, compressed, in KiB: the platform's free plan takes 3 MiB, but each start compiles it. */
const MAX_UPLOAD_KIB = 205;

test("wrangler would deploy the Worker, with its rate limits, and it is small", async () => {
  const outdir = mkdtempSync(join(tmpdir(), "clawfront-deploy-"));
  try {
    const { stdout } = await promisify(execFile)("wrangler", ["deploy", "--dry-run", "--outdir", outdir], {
      cwd: ROOT,
      env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false" },
    });
    const [, kib] = stdout.match(/gzip: ([\d.]+) KiB/) ?? assert.fail(stdout);
    assert.ok(Number(kib) <= MAX_UPLOAD_KIB, `${kib} KiB`);
    for (const limit of ["RPM_10", "RPM_30", "RPM_60", "RPM_120"]) assert.ok(stdout.includes(`env.${limit} `), limit);
    assert.ok(readdirSync(outdir).some((name) => name.endsWith(".wasm")));
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
});
