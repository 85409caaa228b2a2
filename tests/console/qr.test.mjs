// Tests the QR codes of the console: another program reads them, for every version.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { qrModules, qrPath } from "../../assets/console/qr.js";
import { CLIENTS } from "../../scripts/clients.mjs";

const jsQR = createRequire(join(CLIENTS, "package.json"))("jsqr");

/** The longest text of version 20. */
const MAX_BYTES = 666;

/** Reads a code as a camera would see it: each module has 4 pixels, and there is a white rim. */
function read(rows) {
  const [pixels, rim] = [4, 4];
  const side = (rows.length + 2 * rim) * pixels;
  const image = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y += 1)
    for (let x = 0; x < side; x += 1)
      if (rows[Math.floor(y / pixels) - rim]?.[Math.floor(x / pixels) - rim])
        image.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
  return jsQR(image, side, side)?.data;
}

test("codes of every version are read, with their text", () => {
  const sizes = new Set();
  const all = Array.from({ length: MAX_BYTES + 1 }, (_, length) => qrModules("x".repeat(length)));
  const sizeOf = (length) => all[Math.min(length, MAX_BYTES)].length;
  for (let length = 1; length <= MAX_BYTES; length += 1) {
    // The first and the last length of each version, and some between them.
    const isEdge =
      sizeOf(length) !== sizeOf(length + 1) || sizeOf(length) !== sizeOf(length - 1 || 1);
    if (!isEdge && length % 31 !== 0 && length !== 1 && length !== MAX_BYTES) continue;
    const text = Array.from({ length }, (_, at) =>
      String.fromCharCode(33 + ((at * 7 + length) % 90)),
    ).join("");
    const rows = qrModules(text);
    assert.equal(read(rows), text, `${length} bytes`);
    sizes.add(rows.length);
  }
  assert.deepEqual(
    [...sizes],
    Array.from({ length: 20 }, (_, version) => 21 + 4 * version),
  );
  assert.throws(() => qrModules("x".repeat(MAX_BYTES + 1)), /too long/);
});

test("a text that is not ASCII is read, and the drawing has each dark module", () => {
  const text = '{"base_url":"https://clawfront.example/v1","label":"Zoë, 漢字"}';
  const rows = qrModules(text);
  assert.equal(read(rows), text);
  const dark = rows.flatMap((row, y) => row.flatMap((is, x) => (is ? [`M${x} ${y}h1v1h-1z`] : [])));
  assert.equal(qrPath(rows), dark.join(""));
});
