// Prompts that script the model of a test, and their answers.

import { createHash } from "node:crypto";

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

/** Returns the file of a chat completion, with this text. */
export const fileOf = (filename, text) => ({
  type: "file",
  file: {
    filename,
    file_data: `data:text/plain;base64,${Buffer.from(text).toString("base64")}`,
  },
});
/** Returns the same file as a part of a response's input, without `data:`. */
export const inputFileOf = (filename, text) => ({
  type: "input_file",
  filename,
  file_data: Buffer.from(text).toString("base64"),
});
/** Returns the text that stands for the file in a message. */
export const framed = (filename, text) => {
  const id = createHash("sha256").update(text).digest("hex").slice(0, 16);
  const mark = `EXTERNAL_UNTRUSTED_CONTENT id="${id}">>>`;
  return `<file name="${filename}">\n<<<${mark}\nSource: External\n---\n${text}\n<<<END_${mark}\n</file>`;
};
