// Draws a text as a QR code: bytes, error correction of level M, versions 1 to 20, the mask of
// squares. Source: ISO/IEC 18004:2015.

/** For each version: codewords of error correction in a block, and blocks. */
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];

const sideOf = (version) => 17 + 4 * version;

/** Returns the dark modules as the path of a drawing. */
export const qrPath = (rows) =>
  rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");

/** Returns the rows of modules; dark ones are `true`. */
export function qrModules(text) {
  const bytes = new TextEncoder().encode(text);
  for (let version = 1; version <= BLOCKS.length; version += 1) {
    const rows = patternsOf(version);
    const free = rows.flat().filter((dark) => dark === undefined).length;
    const blocks = [CORRECTION[version - 1], BLOCKS[version - 1]];
    const room = Math.floor(free / 8) - blocks[0] * blocks[1];
    const lengthBits = version < 10 ? 8 : 16;
    if (4 + lengthBits + 8 * bytes.length > 8 * room) continue;
    drawCode(rows, withCorrection(dataOf(bytes, lengthBits, room), ...blocks));
    return rows;
  }
  throw new Error("The text is too long for a QR code.");
}

/** The data as codewords: mode, length, bytes, filling. */
function dataOf(bytes, lengthBits, words) {
  const bits = [];
  const push = (value, length) => {
    for (let at = length - 1; at >= 0; at -= 1) bits.push((value >>> at) & 1);
  };
  push(4, 4);
  push(bytes.length, lengthBits);
  for (const byte of bytes) push(byte, 8);
  const room = 8 * words;
  push(0, Math.min(4, room - bits.length));
  push(0, (8 - (bits.length % 8)) % 8);
  for (let filling = 0xec; bits.length < room; filling ^= 0xec ^ 0x11) push(filling, 8);
  return Array.from({ length: words }, (_, at) =>
    bits.slice(8 * at, 8 * at + 8).reduce((word, bit) => 2 * word + bit, 0),
  );
}

/** Multiplies in the field of 256 elements with the polynomial 0x11d. */
function multiply(a, b) {
  let product = 0;
  for (let at = 7; at >= 0; at -= 1) {
    product = (product << 1) ^ ((product >>> 7) * 0x11d);
    product ^= ((b >>> at) & 1) * a;
  }
  return product;
}

/** Returns the remainder of Reed and Solomon's division. */
function correctionOf(block, length) {
  const divisor = Array(length - 1)
    .fill(0)
    .concat(1);
  for (let round = 0, root = 1; round < length; round += 1, root = multiply(root, 2))
    for (let at = 0; at < length; at += 1)
      divisor[at] = multiply(divisor[at], root) ^ (divisor[at + 1] ?? 0);
  const rest = Array(length).fill(0);
  for (const word of block) {
    const factor = word ^ rest.shift();
    rest.push(0);
    for (let at = 0; at < length; at += 1) rest[at] ^= multiply(divisor[at], factor);
  }
  return rest;
}

/** Splits the data into blocks, and returns the words of all blocks in turn, data first. */
function withCorrection(data, length, count) {
  const short = Math.floor(data.length / count);
  const long = data.length % count;
  const blocks = [];
  for (let index = 0, at = 0; index < count; index += 1) {
    const end = at + short + (index >= count - long ? 1 : 0);
    blocks.push(data.slice(at, end));
    at = end;
  }
  const inTurn = (lists, most) =>
    Array.from({ length: most }, (_, at) => lists.map((list) => list[at]))
      .flat()
      .filter((word) => word !== undefined);
  const corrections = blocks.map((block) => correctionOf(block, length));
  return [...inTurn(blocks, short + 1), ...inTurn(corrections, length)];
}

/** Returns the rows of a version without its data, whose modules are undefined. */
function patternsOf(version) {
  const side = sideOf(version);
  const rows = Array.from({ length: side }, () => Array(side).fill(undefined));
  const set = (x, y, dark) => {
    if (rows[y] && x >= 0 && x < side) rows[y][x] = Boolean(dark);
  };
  const square = (x, y, reach, isDark) => {
    for (let dy = -reach; dy <= reach; dy += 1)
      for (let dx = -reach; dx <= reach; dx += 1)
        set(x + dx, y + dy, isDark(Math.max(Math.abs(dx), Math.abs(dy))));
  };
  for (let at = 0; at < side; at += 1) {
    set(6, at, at % 2 === 0);
    set(at, 6, at % 2 === 0);
  }
  const isFinder = (ring) => ring !== 2 && ring !== 4;
  square(3, 3, 4, isFinder);
  square(side - 4, 3, 4, isFinder);
  square(3, side - 4, 4, isFinder);
  const places = alignmentPlaces(version);
  for (const x of places)
    for (const y of places) if (!isCorner(x, y, side)) square(x, y, 2, (ring) => ring !== 1);
  drawFormat(set, side);
  if (version > 6) drawVersion(set, side, version);
  return rows;
}

/** Returns true where a finder is: in each corner but the last one. */
const isCorner = (x, y, side) => Math.min(x, y) === 6 && [6, side - 7].includes(Math.max(x, y));

function alignmentPlaces(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((4 * version + 4) / (2 * count - 2)) * 2;
  const far = Array.from({ length: count - 1 }, (_, at) => sideOf(version) - 7 - at * step);
  return [6, ...far.reverse()];
}

function drawFormat(set, side) {
  // Level M and the mask of squares are both 0, so all their check bits are.
  const bits = 0x5412;
  for (let at = 0; at < 15; at += 1) {
    const dark = (bits >>> at) & 1;
    // Around the first corner, past the lines of the clock; and along the other two.
    if (at < 8) set(8, at < 6 ? at : at + 1, dark);
    else set(at < 9 ? 7 : 14 - at, 8, dark);
    if (at < 8) set(side - 1 - at, 8, dark);
    else set(8, side - 15 + at, dark);
  }
  set(8, side - 8, true);
}

function drawVersion(set, side, version) {
  // The version, and check bits of a code of Bose, Chaudhuri and Hocquenghem.
  let rest = version;
  for (let at = 0; at < 12; at += 1) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let at = 0; at < 18; at += 1) {
    const [far, near] = [side - 11 + (at % 3), Math.floor(at / 3)];
    set(far, near, (bits >>> at) & 1);
    set(near, far, (bits >>> at) & 1);
  }
}

/** Fills the free modules in pairs of columns, from the right, up and down in turn. */
function drawCode(rows, code) {
  const side = rows.length;
  let at = 0;
  for (let right = side - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < side; step += 1)
      for (const x of [right, right - 1]) {
        const y = (right + 1) & 2 ? step : side - 1 - step;
        if (rows[y][x] !== undefined) continue;
        const bit = (code[at >>> 3] >>> (7 - (at & 7))) & 1;
        at += 1;
        rows[y][x] = Boolean(bit) !== ((x + y) % 2 === 0);
      }
  }
}
