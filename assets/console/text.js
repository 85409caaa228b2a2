// Writes times, numbers and lists for people. All times are UTC, like those of the log and the API.

/** Returns a time to the minute; `seconds` are those since the Unix epoch. */
export const timeOf = (seconds) =>
  new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

/** Returns a date of the API, which is a time, as a day if it is the first moment of one. */
export const dateOf = (text) =>
  text
    .replace("T00:00:00Z", "")
    .replace(/:\d\dZ$/, "")
    .replace("T", " ");

/** Returns a number with few digits, which is never too high: 1 999 999 is 1.9M. */
export const short = (number) =>
  number.toLocaleString("en", { notation: "compact", roundingMode: "trunc" });

export const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** Returns the items of a text with commas between them. */
export const listOf = (text) =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter(Boolean);
