// Prompts that script the model of a test, and their answers.

/** Returns the answer to `[[fake deltas=COUNT]]`. */
export const words = (count) => Array.from({ length: count }, (_, index) => `w${index}`).join(" ");

/** Returns a prompt whose answer is this text, sent in pieces with `delayMs` between them. */
export const spoken = (text, delayMs = 1) =>
  `say it [[fake text=${Buffer.from(text).toString("base64url")} delay=${delayMs}]]`;

/** Returns a prompt that scripts each call of the model. */
export const steps = (...list) =>
  `go [[steps ${Buffer.from(JSON.stringify(list)).toString("base64url")}]]`;

/** An image of one pixel: a PNG in base64. */
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const PIXEL_BYTES = Buffer.from(PIXEL, "base64").length;
