// Computes the typical value and the spread of a handful of figures.

export const median = (values) => percentile(values, 0.5);

/** By the nearest rank; `share` from 0 to 1. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  if (share === 0.5 && sorted.length % 2 === 0)
    return (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

/** `[least, most]`. */
export const spread = (values) => [Math.min(...values), Math.max(...values)];

/** To three significant digits, which is more than any of these figures is good for. */
export const round = (value) => (value === 0 ? 0 : Number(value.toPrecision(3)));

/** A row of a table: the median of `values`, and how far they lie apart. */
export const row = (label, values, unit, more = {}) => ({
  label,
  value: round(median(values)),
  unit,
  spread: spread(values).map(round),
  ...more,
});

export const atMost = (limit, value) => ({ atMost: limit, met: value <= limit });
export const atLeast = (limit, value) => ({ atLeast: limit, met: value >= limit });

/**
 * Returns a row for the ratio of `values` to those of `of`, round by round: a disturbance of a
 * round slows both.
 */
export function ratioRow(label, values, of, target) {
  const ratios = values.map((value, index) => value / of[index]);
  return row(label, ratios, "×", target ? { target: target(median(ratios)) } : {});
}
