// Bars as SVG, readable on a light and on a dark page.

const WIDTH = 720;
const LEAST_LABEL_WIDTH = 200;
/** Of 13 px letters, somewhat more than they mostly are. */
const LETTER_WIDTH = 6.6;
const FIGURE_WIDTH = 110;
const BAR_HEIGHT = 22;
const GAP = 10;
const TOP = 34;

/**
 * Horizontal bars from zero, each with its figure, and a line from the least to the most of its
 * rounds.
 */
export function barChart({ title, unit, bars }) {
  const labelWidth = Math.max(
    LEAST_LABEL_WIDTH,
    ...bars.map(({ label }) => label.length * LETTER_WIDTH + 8),
  );
  const longest = Math.max(...bars.flatMap(({ value, spread }) => [value, spread?.[1] ?? 0]));
  // In a short measurement the subtracted share may exceed the whole.
  const x = (value) =>
    labelWidth +
    (Math.max(0, value) / (longest > 0 ? longest : 1)) * (WIDTH - labelWidth - FIGURE_WIDTH);
  const height = TOP + bars.length * (BAR_HEIGHT + GAP);
  const lines = bars.flatMap(({ label, value, spread }, index) => {
    const y = TOP + index * (BAR_HEIGHT + GAP);
    const middle = y + BAR_HEIGHT / 2;
    const end = Math.max(x(value), spread ? x(spread[1]) : 0);
    return [
      text(labelWidth - 8, middle, label, "end"),
      `<rect x="${labelWidth.toFixed(1)}" y="${y}" width="${(x(value) - labelWidth).toFixed(1)}" height="${BAR_HEIGHT}" rx="2" fill="${label.includes("Clawfront") ? "#e8590c" : "#868e96"}"/>`,
      ...(spread
        ? [
            `<path d="M${x(spread[0]).toFixed(1)} ${middle}H${x(spread[1]).toFixed(1)}" stroke="#343a40" stroke-width="2"/>`,
          ]
        : []),
      text(end + 8, middle, `${value} ${unit}`, "start"),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${escaped(title)}</title>`,
    "<style>text { fill: #212529 } @media (prefers-color-scheme: dark) { text { fill: #e9ecef } path { stroke: #dee2e6 } }</style>",
    text(0, 14, title, "start", ' font-weight="600"'),
    ...lines,
    "</svg>\n",
  ].join("\n");
}

function text(x, y, words, anchor, more = "") {
  return `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}" dominant-baseline="central"${more}>${escaped(words)}</text>`;
}

const escaped = (words) => words.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
