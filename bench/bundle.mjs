// Measures the size of the upload, and the time until a runtime answers.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../scripts/paths.mjs";
import { run } from "../scripts/processes.mjs";
import { startWorker } from "../tests/support/worker.mjs";
import { ask } from "./load.mjs";
import { atMost, median, row } from "./statistics.mjs";

export const name = "bundle";

const STARTS = 12;
const QUICK_STARTS = 2;
const MAX_KB = 200;
const MAX_START_MS = 30;
const KB_PER_KIB = 1.024;

export async function measure({ quick, builds }) {
  const kb = Number(((await uploadKib()) * KB_PER_KIB).toFixed(1));
  const times = { ours: [], empty: [] };
  for (let nth = 0; nth < (quick ? QUICK_STARTS : STARTS); nth += 1) {
    for (const name of Object.keys(times)) times[name].push(await startMs(builds[name]));
  }
  const empty = median(times.empty);
  const added = times.ours.map((ms) => ms - empty);
  return {
    title: "Bundle and start-up",
    rows: [
      {
        label: "upload, gzip, as wrangler counts it",
        value: kb,
        unit: "kB",
        target: atMost(MAX_KB, kb),
      },
      row("start of workerd to its first answer: an empty Worker", times.empty, "ms"),
      row("start of workerd to its first answer: Clawfront", times.ours, "ms"),
      row("start-up, Clawfront's own share", added, "ms", {
        target: atMost(MAX_START_MS, median(added)),
      }),
    ],
    notes: [
      "The first answer is that of `/healthz`, so that the module is compiled, instantiated and has run.",
    ],
  };
}

async function uploadKib() {
  const outdir = mkdtempSync(join(tmpdir(), "clawfront-bench-"));
  try {
    const printed = await run("wrangler", ["deploy", "--dry-run", "--outdir", outdir], {
      cwd: ROOT,
      env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false" },
    });
    return Number(printed.match(/gzip: ([\d.]+) KiB/)[1]);
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}

async function startMs(build) {
  const startedMs = performance.now();
  const worker = await startWorker(build);
  try {
    await ask({ url: worker.url, path: "/healthz", method: "GET" });
    return performance.now() - startedMs;
  } finally {
    await worker.stop();
  }
}
