// The order of the functions in a compiled module. Compression finds repetition only within its
// window of 32 KiB, so functions that are alike should be neighbours. The order changes nothing
// else: it saves 2 % of the compressed Worker.

import { gzipSync } from "node:zlib";
import {
  bodiesOf,
  CUSTOM,
  countImportedFunctions,
  FUNCTION_NAMES,
  moduleOf,
  number,
  sectionsOf,
  text,
} from "./wasm.mjs";

/**
 * Returns the module with names for its functions, in the order in which they compress best. What
 * sorts functions by name (`wasm-opt --reorder-functions-by-name`) brings them into that order.
 */
export function nameByLikeness(module) {
  const imported = countImportedFunctions(module);
  const bodies = bodiesOf(module);
  const names = [];
  for (const [rank, body] of smallestOrder(bodies).entries())
    names[body] = String(rank).padStart(6, "0");
  const map = [
    ...number(names.length),
    ...names.flatMap((name, body) => [...number(imported + body), ...text(name)]),
  ];
  const content = Buffer.from([...text("name"), FUNCTION_NAMES, ...number(map.length), ...map]);
  return moduleOf([...sectionsOf(module), { id: CUSTOM, content }]);
}

/** Returns the order that compresses best. Which of the weights gives it differs by module. */
function smallestOrder(pieces) {
  const orders = SHORT_BYTES.map((shortBytes) => orderByLikeness(pieces, shortBytes));
  const size = (order) => gzipSync(Buffer.concat(order.map((piece) => pieces[piece]))).length;
  return best(orders, (order) => 1 / size(order));
}

/**
 * Returns the indices of these pieces of code, so that each one follows the pieces with which it
 * has most in common. Begins with the longest.
 */
export function orderByLikeness(pieces, shortBytes = SHORT_BYTES[0]) {
  const fragments = commonFragments(pieces);
  // For each piece, the weight of the fragments that it shares with the window, and how many pieces
  // of the window have each fragment.
  const shared = new Float64Array(pieces.length);
  const uses = new Map();
  const change = (piece, by) => {
    for (const holders of fragments[piece]) {
      const before = uses.get(holders) ?? 0;
      uses.set(holders, before + by);
      if (Math.min(before, before + by) > 0) continue;
      for (const holder of holders) shared[holder] += by / Math.log2(1 + holders.length);
    }
  };
  const left = new Set(pieces.keys());
  const order = [];
  let windowBytes = 0;
  let windowBegin = 0;
  while (left.size > 0) {
    const next = best(left, (piece) =>
      order.length === 0
        ? pieces[piece].length
        : shared[piece] / (pieces[piece].length + shortBytes),
    );
    left.delete(next);
    order.push(next);
    change(next, 1);
    windowBytes += pieces[next].length;
    while (windowBytes > WINDOW_BYTES && windowBegin < order.length - 1) {
      const oldest = order[windowBegin++];
      windowBytes -= pieces[oldest].length;
      change(oldest, -1);
    }
  }
  return order;
}

/** Bytes of a fragment. The best of 4 to 12, measured. */
const FRAGMENT_BYTES = 6;

/** A fragment in more pieces than this is near in any order. */
const MAX_HOLDERS = 300;

/** Bytes of the window, some less than compression has. */
const WINDOW_BYTES = 29_000;

/** Weights that keep the shortest functions, which are alike by chance, from coming first. */
const SHORT_BYTES = [8, 30];

/**
 * Returns each piece's fragments that other pieces have too. A fragment is the list of the pieces
 * that have it.
 */
function commonFragments(pieces) {
  const holdersOf = new Map();
  const fragments = pieces.map((piece) => {
    const own = new Set();
    for (let begin = 0; begin + FRAGMENT_BYTES <= piece.length; begin += 1)
      own.add(piece.toString("latin1", begin, begin + FRAGMENT_BYTES));
    return own;
  });
  for (const [index, own] of fragments.entries())
    for (const fragment of own) {
      if (!holdersOf.has(fragment)) holdersOf.set(fragment, []);
      holdersOf.get(fragment).push(index);
    }
  return fragments.map((own) =>
    [...own]
      .map((fragment) => holdersOf.get(fragment))
      .filter(({ length }) => length > 1 && length <= MAX_HOLDERS),
  );
}

/** Returns the item with the highest value, the first of equals. */
function best(items, value) {
  let [highest, found] = [-1];
  for (const item of items) {
    const own = value(item);
    if (own > highest) [highest, found] = [own, item];
  }
  return found;
}
