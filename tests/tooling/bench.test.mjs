// Tests that `npm run bench` works, at its shortest. The figures are not checked, because they mean
// nothing here.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { bench } from "../../bench/bench.mjs";
import { BUILDS } from "../../bench/builds.mjs";
import { median, percentile } from "../../bench/statistics.mjs";
import { ROOT, SIM } from "../../scripts/paths.mjs";
import { temporaryFolder } from "../support/folder.mjs";

/**
 * The measurements that need only the tools of every test: `ttft` and `peers` need a real
 * OpenClaw, and `peers` programs that are fetched for it alone.
 */
const MEASURED = [
  "cpu",
  "short",
  "profile",
  "hop",
  "bundle",
  "concurrency",
  "rejections",
  "revocation",
];
/** The one that takes the least time. */
const AGAIN = "rejections";
/** Each measurement has figures that are counts, and the same wherever it runs. */
const COUNTS = [
  ["concurrency", "incomplete, or with another's words", 0],
  ["rejections", "connections to the gateway", 0],
  ["revocation", "requests admitted after the confirmation", 0],
  ["revocation", "streams that ended otherwise, or of the other key", 0],
];

describe("the bench", () => {
  const outdir = temporaryFolder("bench");
  // The one by the book of workers-rs takes minutes to build; the one in JavaScript stands in for
  // it.
  const builds = { ...BUILDS, idiomatic: BUILDS.js };
  const measure = (only) =>
    bench({ only, quick: true, builds, simBinary: SIM, say: () => {}, outdir });
  let results;
  before(async () => {
    mkdirSync(join(outdir, "docs"));
    cpSync(join(ROOT, "docs/performance.md"), join(outdir, "docs/performance.md"));
    // Of one that is gone, and of one whose figures say nothing about their run.
    mkdirSync(join(outdir, "bench"));
    const old = { measurements: { gone: { run: {} }, cpu: { rows: [] } } };
    writeFileSync(join(outdir, "bench/results.json"), JSON.stringify(old));
    results = await measure(MEASURED);
  });

  test("every measurement has figures, each with a unit and a label of its own", () => {
    assert.deepEqual(Object.keys(results.measurements), MEASURED);
    for (const [name, { title, rows }] of Object.entries(results.measurements)) {
      assert.ok(title && rows.length >= 3, name);
      for (const { label, value, unit, spread = [] } of rows) {
        assert.ok(
          label && typeof unit === "string" && [value, ...spread].every(Number.isFinite),
          `${name}: ${label} ${value}`,
        );
      }
      assert.equal(new Set(rows.map(({ label }) => label)).size, rows.length, name);
    }
    for (const [name, wanted, value] of COUNTS) {
      assert.equal(
        results.measurements[name].rows.find(({ label }) => label === wanted)?.value,
        value,
        wanted,
      );
    }
  });

  test("the figures say where they come from, and stay when others are renewed", async () => {
    const path = join(outdir, "bench/results.json");
    const stored = () => JSON.parse(readFileSync(path, "utf8")).measurements;
    const first = stored();
    for (const { run } of Object.values(first)) {
      const { date, machine, versions, load, loadAfter, quick } = run;
      assert.ok(Date.parse(date) && machine.cores > 0 && versions.workerd && versions.rust);
      assert.deepEqual([load.length, loadAfter.length, quick], [3, 3, true]);
    }
    await measure([AGAIN]);
    const { [AGAIN]: renewed, ...others } = stored();
    assert.ok(renewed.run.date > first[AGAIN].run.date);
    delete first[AGAIN];
    assert.deepEqual(others, first);
    const page = readFileSync(join(outdir, "docs/performance.md"), "utf8");
    assert.match(page, new RegExp(`^- ${Object.keys(first).join(", ")}: `, "m"));
    assert.match(page, new RegExp(`^- ${AGAIN}: `, "m"));
  });

  test("the page has a table and a plot where it had marks, and its words as before", () => {
    const page = readFileSync(join(outdir, "docs/performance.md"), "utf8");
    const words = (text) =>
      text.replace(/(<!-- bench:(\w+) -->\n)[\s\S]*?(<!-- \/bench:\2 -->)/g, "$1$3");
    assert.equal(words(page), words(readFileSync(join(ROOT, "docs/performance.md"), "utf8")));
    for (const [name, { rows, plot }] of Object.entries(results.measurements)) {
      const section =
        page.match(
          new RegExp(`<!-- bench:${name} -->\n([\\s\\S]*?)<!-- /bench:${name} -->`),
        )?.[1] ?? "";
      for (const { label } of rows)
        assert.ok(section.includes(`| ${label} |`), `${name}: ${label}`);
      if (!plot) continue;
      assert.ok(section.includes(`(performance/${name}.svg)`), name);
      const svg = readFileSync(join(outdir, `docs/performance/${name}.svg`), "utf8");
      assert.equal(svg.match(/<rect /g).length, plot.bars.length);
      assert.doesNotMatch(svg, /NaN|undefined|Infinity|width="-/, name);
    }
  });
});

test("medians and percentiles", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([5, 1, 4, 2, 3], 0.99), 5);
  assert.equal(percentile([5, 1, 4, 2, 3], 0.2), 1);
});
