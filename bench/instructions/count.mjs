// Counts the instructions of each case of the guest (`cases/`).

import { readFileSync } from "node:fs";
import { metered } from "./meter.mjs";

/**
 * Returns `[{ name, instructions, functions: [{ name, instructions }] }]`: of one step of each
 * case, the functions that take most first.
 */
export function countAll(path) {
  const { wasm, names } = metered(readFileSync(path));
  const module = new WebAssembly.Module(wasm);
  const { cases } = new WebAssembly.Instance(module).exports;
  return Array.from({ length: cases() }, (_, nth) => {
    const [counted, again] = [count(module, names, nth), count(module, names, nth)];
    if (counted.instructions !== again.instructions)
      throw new Error(
        `${counted.name}: ${counted.instructions} instructions, and then ${again.instructions}`,
      );
    return counted;
  });
}

function count(module, names, nth) {
  // Of its own, so that no case depends on those before it.
  const { exports } = new WebAssembly.Instance(module);
  const name = new TextDecoder().decode(
    new Uint8Array(exports.memory.buffer, exports.name(nth), exports.name_bytes(nth)),
  );
  exports.stage(nth);
  // The first call warms up the allocator and everything that is made once, so that the counted
  // call is like every later one.
  exports.prepare();
  exports.run();
  exports.prepare();
  const before = names.map((_, index) => exports[`f${index}`].value);
  exports.run();
  const steps = exports.steps(nth);
  const spent = names.map((name, index) => ({
    name,
    total: Number(exports[`f${index}`].value - before[index]),
  }));
  const perStep = (total) => Math.round(total / steps);
  return {
    name,
    instructions: perStep(spent.reduce((sum, { total }) => sum + total, 0)),
    functions: spent
      .sort((a, b) => b.total - a.total)
      .map(({ name, total }) => ({ name, instructions: perStep(total) }))
      .filter(({ instructions }) => instructions > 0),
  };
}
