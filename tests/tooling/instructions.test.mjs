// Tests the counter of instructions (`npm run bench:instructions`) with modules whose count is
// known.

import assert from "node:assert/strict";
import { test } from "node:test";
import { compare } from "../../bench/instructions/instructions.mjs";
import { metered } from "../../bench/instructions/meter.mjs";

/** A module with one function `f`, of an i32 and without a result, and a memory of one page. */
function moduleOf(...code) {
  const body = [0, ...code, 0x0b];
  const section = (id, ...bytes) => [id, bytes.length, ...bytes];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 1, 0x7f, 0),
    ...section(3, 1, 0),
    ...section(5, 1, 0, 1),
    ...section(6, 1, 0x7f, 1, 0x41, 0, 0x0b),
    ...section(7, 1, 1, 0x66, 0, 0),
    ...section(10, 1, body.length, ...body),
  ]);
}

function count(code, argument) {
  const { exports } = new WebAssembly.Instance(
    new WebAssembly.Module(metered(moduleOf(...code)).wasm),
  );
  exports.f(argument);
  return Number(exports.f0.value);
}

test("an instruction that is executed counts one, and one that is jumped over none", () => {
  // i32.const 1, drop
  assert.equal(count([0x41, 1, 0x1a], 0), 1);
  // block, local.get 0, br_if 0, three constants that are dropped, end
  const early = [
    0x02,
    0x40,
    0x20,
    0,
    0x0d,
    0,
    ...[0x41, 1, 0x1a],
    ...[0x41, 1, 0x1a],
    ...[0x41, 1, 0x1a],
    0x0b,
  ];
  assert.equal(count(early, 1), 2);
  assert.equal(count(early, 0), 5);
  // local.get 0, if, one constant, else, two of them, end
  const either = [0x20, 0, 0x04, 0x40, 0x41, 1, 0x1a, 0x05, 0x41, 1, 0x1a, 0x41, 1, 0x1a, 0x0b];
  assert.equal(count(either, 1), 3);
  assert.equal(count(either, 0), 4);
});

test("a loop counts as often as it is gone through", () => {
  // loop, local.get 0, i32.const 1, i32.sub, local.tee 0, br_if 0, end
  assert.equal(count([0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b], 1000), 5000);
});

test("moving memory counts by the size", () => {
  // i32.const 0, i32.const 0, local.get 0, memory.copy
  const copy = [0x41, 0, 0x41, 0, 0x20, 0, 0xfc, 10, 0, 0];
  assert.equal(count(copy, 63), 4);
  assert.equal(count(copy, 6400), 104);
});

test("an instruction that is not known is refused", () => {
  // A vector.
  assert.throws(() => count([0xfd, 12], 0), /not known: 0xfd/);
});

test("a difference of more than a twentieth is reported, either way, and a new or missing case", () => {
  const counted = (instructions) => [{ name: "a", instructions }];
  assert.deepEqual(compare(counted(104), { a: 100 }), []);
  assert.deepEqual(compare(counted(96), { a: 100 }), []);
  assert.deepEqual(compare(counted(106), { a: 100 }), ["a: 106 instead of 100, +6.0 %"]);
  assert.deepEqual(compare(counted(90), { a: 100 }), ["a: 90 instead of 100, −10.0 %"]);
  assert.deepEqual(compare(counted(1), {}), ["a: 1, and none is expected"]);
  assert.deepEqual(compare([], { a: 1 }), ["a: is expected, but this case does not exist"]);
});
