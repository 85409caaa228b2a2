// The same rows for a terminal and for a page.

/** Prints a measurement's rows, one line each. */
export function printTable({ title, rows, notes = [] }, say) {
  const cells = rows.map((row) => [row.label, figure(row), between(row), wanted(row)]);
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...cells.map((line) => line[column].length)),
  );
  say(`\n${title}`);
  for (const [label, ...rest] of cells) {
    say(
      `  ${label.padEnd(widths[0])}  ${rest.map((cell, index) => cell.padStart(widths[index + 1])).join("  ")}`.trimEnd(),
    );
  }
  for (const note of notes) say(`  ${note}`);
  say("");
}

/** The same in Markdown. */
export function markdownTable({ rows, notes = [] }) {
  if (rows.every(({ spread, target }) => !spread && !target)) {
    const lines = rows.map((row) => `| ${row.label} | ${figure(row)} |`);
    return ["| | |", "| --- | ---: |", ...lines, ...notes.map((note) => `\n${note}`)].join("\n");
  }
  const lines = rows.map(
    (row) => `| ${row.label} | ${figure(row)} | ${between(row)} | ${wanted(row)} |`,
  );
  return [
    "| | median | least–most | target |",
    "| --- | ---: | ---: | --- |",
    ...lines,
    ...notes.map((note) => `\n${note}`),
  ].join("\n");
}

const figure = ({ value, unit }) =>
  `${value >= GROUPED ? value.toLocaleString("en-US") : value} ${unit}`.trim();
/** From this value on digits are grouped; smaller numbers are read at a glance. */
const GROUPED = 1000;
const between = ({ spread }) => (spread ? `${spread[0]}–${spread[1]}` : "");

function wanted({ target }) {
  if (!target) return "";
  const limit = target.atMost === undefined ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
  return `${limit}: ${target.met ? "met" : "missed"}`;
}
