// Writes the tables of docs/performance.md, which are between marks. Every bench replaces the
// tables; people write the text around them.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { barChart } from "./plot.mjs";
import { markdownTable } from "./table.mjs";

/**
 * Writes each measurement's table between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`. The
 * tables of other measurements stay as they are.
 */
export function renewTables(results, path) {
  if (!existsSync(path)) return;
  let page = readFileSync(path, "utf8");
  page = put(page, "machine", runs(results.measurements));
  for (const [name, measured] of Object.entries(results.measurements)) {
    page = put(
      page,
      name,
      `${markdownTable(measured)}${measured.plot ? `\n\n![${measured.title}](performance/${name}.svg)` : ""}`,
    );
  }
  writeFileSync(path, page);
}

/** The same of one measurement, and of nothing else. */
export function renewTable(name, measured, path) {
  writeFileSync(path, put(readFileSync(path, "utf8"), name, markdownTable(measured)));
}

/** One SVG for each measurement that has something to plot. */
export function writePlots(results, folder) {
  mkdirSync(folder, { recursive: true });
  for (const [name, { title, plot }] of Object.entries(results.measurements)) {
    if (plot) writeFileSync(join(folder, `${name}.svg`), barChart({ title, ...plot }));
  }
}

function put(page, name, text) {
  return page.replace(
    new RegExp(`(<!-- bench:${name} -->\n)[\\s\\S]*?(<!-- /bench:${name} -->)`),
    (_, begin, end) => `${begin}${text}\n${end}`,
  );
}

/** One line for each run: most figures are of the same. */
function runs(measurements) {
  const names = new Map();
  for (const [name, { run }] of Object.entries(measurements)) {
    const line = lineOf(run);
    names.set(line, [...(names.get(line) ?? []), name]);
  }
  return [...names].map(([line, of]) => `- ${of.join(", ")}: ${line}`).join("\n");
}

function lineOf({ date, machine, versions, load, loadAfter, rounds, quick }) {
  const { cpu, cores, memoryMib, kernel } = machine;
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${date.slice(0, 10)}, ${cores} cores of ${cpu}, ${memoryMib} MiB, Linux ${kernel}; ${programs.join(", ")}.`,
    `${rounds} rounds${quick ? ", shortened: good for nothing but to see that the bench works" : ""}. Load average ${load.join(", ")} before, ${loadAfter.join(", ")} after.`,
  ].join("\n  ");
}
