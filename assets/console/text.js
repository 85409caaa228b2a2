// Writes times and numbers for people. All times are UTC, as the limits, the log and the API have.

/** Returns a time to the minute; `seconds` are those since the Unix epoch. */
export const timeOf = (seconds) =>
  new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

/** Returns a date of the API, which is a time, as a day if it is the first moment of one. */
export const dateOf = (text) =>
  text
    .replace("T00:00:00Z", "")
    .replace(/:\d\dZ$/, "")
    .replace("T", " ");

/** Returns a number with at most three digits: 1 234 567 is 1.2M. */
export function short(number) {
  const step = [1e9, 1e6, 1e3].findIndex((size) => number >= size);
  if (step < 0) return String(number);
  const value = number / [1e9, 1e6, 1e3][step];
  return `${value < 10 ? Math.floor(value * 10) / 10 : Math.floor(value)}${"GMk"[step]}`;
}

export const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
