// Makes a WebAssembly module count the instructions that it executes, by function: exactly, and
// identically on every machine. Each straight piece of code adds its length to a global of its
// function before it ends.
//
// Every instruction counts 1. Those without an effect of their own (`block`, `loop`, `else`, `end`,
// `nop`, `drop`) count nothing, and one that moves or fills a block of memory counts 1 more for
// each 64 bytes.
//
// The fuel of an interpreter is not used, because wasmi charges a whole block at its beginning,
// including the part that a branch skips. For an event that is dropped that is five times as much.

/**
 * Returns the module `wasm` with counters: an exported global `f0`, `f1`, … for each function,
 * which `names` has the names of.
 */
export function metered(wasm) {
  const sections = readSections(wasm);
  const imports = sections.find(({ id }) => id === IMPORT);
  if (imports && new Reader(imports.bytes).u32() > 0)
    throw new Error("the guest imports something");
  const count = new Reader(section(sections, CODE)).u32();
  const globals = new Reader(section(sections, GLOBAL)).u32();
  // The last one remembers how many bytes are moved.
  const scratch = globals + count;
  const rewritten = sections.map(({ id, bytes }) => {
    if (id === GLOBAL)
      return { id, bytes: appended(bytes, [...Array(count).fill(I64_GLOBAL), I32_GLOBAL]) };
    if (id === EXPORT)
      return {
        id,
        bytes: appended(
          bytes,
          Array.from({ length: count }, (_, nth) => [
            ...text(`f${nth}`),
            GLOBAL_EXPORT,
            ...u32(globals + nth),
          ]),
        ),
      };
    if (id === CODE) return { id, bytes: meteredCode(bytes, globals, scratch) };
    return { id, bytes };
  });
  return { wasm: written(rewritten), names: functionNames(sections, count) };
}

const [CUSTOM, IMPORT, GLOBAL, EXPORT, CODE] = [0, 2, 6, 7, 10];
const GLOBAL_EXPORT = 3;
const I32 = 0x7f;
const I64 = 0x7e;
const I64_GLOBAL = [I64, 1, 0x42, 0, 0x0b];
const I32_GLOBAL = [I32, 1, 0x41, 0, 0x0b];

const END = 0x0b;
const FREE = new Set([0x01, 0x02, 0x03, 0x05, END, 0x1a]);
/**
 * Behind or before these another piece of code may begin: unreachable, loop, if, else, end, br,
 * br_if, br_table, return.
 */
const BREAKS = new Set([0x00, 0x03, 0x04, 0x05, END, 0x0c, 0x0d, 0x0e, 0x0f]);
const PREFIX = 0xfc;
/** memory.copy and memory.fill, behind the prefix. */
const MOVES = new Set([10, 11]);
const BYTES_SHIFT = 6;

function meteredCode(bytes, globals, scratch) {
  const reader = new Reader(bytes);
  const bodies = Array.from({ length: reader.u32() }, (_, nth) => {
    const body = meteredBody(reader.take(reader.u32()), u32(globals + nth), u32(scratch));
    return [...u32(body.length), ...body];
  });
  return Uint8Array.from([...u32(bodies.length), ...bodies.flat()]);
}

function meteredBody(bytes, counter, scratch) {
  const reader = new Reader(bytes);
  for (let groups = reader.u32(); groups > 0; groups -= 1) {
    reader.u32();
    reader.byte();
  }
  const out = [...bytes.subarray(0, reader.at)];
  let pending = 0;
  while (reader.at < bytes.length) {
    const start = reader.at;
    const opcode = reader.byte();
    const moves = skipImmediates(reader, opcode);
    if (!FREE.has(opcode)) pending += 1;
    if (BREAKS.has(opcode) && pending > 0) {
      // global.get, i64.const, i64.add, global.set
      out.push(0x23, ...counter, 0x42, ...s64(pending), 0x7c, 0x24, ...counter);
      pending = 0;
    }
    // global.set, global.get: the stack keeps its values.
    if (moves) out.push(0x24, ...scratch, 0x23, ...scratch);
    out.push(...bytes.subarray(start, reader.at));
    // global.get, global.get, i32.const, i32.shr_u, i64.extend_i32_u, i64.add, global.set
    if (moves)
      out.push(
        0x23,
        ...counter,
        0x23,
        ...scratch,
        0x41,
        BYTES_SHIFT,
        0x76,
        0xad,
        0x7c,
        0x24,
        ...counter,
      );
  }
  return out;
}

/**
 * Reads the operands of an instruction, and returns whether it moves a block of memory. Source:
 * WebAssembly 2.0, section 5.4, without vectors.
 */
function skipImmediates(reader, opcode) {
  const skip = (count) => {
    for (; count > 0; count -= 1) reader.u32();
  };
  if (opcode >= 0x02 && opcode <= 0x04)
    skip(1); // a block's type, which as a number is read alike
  else if (opcode === 0x0c || opcode === 0x0d || opcode === 0x10) skip(1);
  else if (opcode === 0x0e) skip(reader.u32() + 1);
  else if (opcode === 0x11) skip(2);
  else if (opcode === 0x1c) skip(reader.u32());
  else if (opcode >= 0x20 && opcode <= 0x26) skip(1);
  else if (opcode >= 0x28 && opcode <= 0x3e) skip(2);
  else if (opcode === 0x3f || opcode === 0x40 || opcode === 0x41 || opcode === 0x42) skip(1);
  else if (opcode === 0x43) reader.take(4);
  else if (opcode === 0x44) reader.take(8);
  else if (opcode === 0xd0 || opcode === 0xd2) skip(1);
  else if (opcode === PREFIX) {
    const which = reader.u32();
    if (which > 17) throw new Error(`an instruction that is not known: 0xfc ${which}`);
    skip([0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1][which]);
    return MOVES.has(which);
  } else if (
    !(
      opcode <= 0x01 ||
      opcode === 0x05 ||
      opcode === END ||
      opcode === 0x0f ||
      opcode === 0x1a ||
      opcode === 0x1b ||
      (opcode >= 0x45 && opcode <= 0xc4) ||
      opcode === 0xd1
    )
  ) {
    throw new Error(`an instruction that is not known: 0x${opcode.toString(16)}`);
  }
  return false;
}

/** From the custom section `name`; a function without one is called by its number. */
function functionNames(sections, count) {
  const names = Array.from({ length: count }, (_, nth) => `function ${nth}`);
  for (const { id, bytes } of sections) {
    const reader = new Reader(bytes);
    if (id !== CUSTOM || reader.text() !== "name") continue;
    while (reader.at < bytes.length) {
      const kind = reader.byte();
      const inner = new Reader(reader.take(reader.u32()));
      for (let left = kind === 1 ? inner.u32() : 0; left > 0; left -= 1)
        names[inner.u32()] = inner.text();
    }
  }
  return names;
}

function readSections(wasm) {
  const reader = new Reader(wasm, HEADER_BYTES);
  const sections = [];
  while (reader.at < wasm.length)
    sections.push({ id: reader.byte(), bytes: reader.take(reader.u32()) });
  return sections;
}

const HEADER_BYTES = 8;

function written(sections) {
  const header = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  return Buffer.concat([
    Uint8Array.from(header),
    ...sections.flatMap(({ id, bytes }) => [Uint8Array.from([id, ...u32(bytes.length)]), bytes]),
  ]);
}

function section(sections, id) {
  const found = sections.find((section) => section.id === id);
  if (!found) throw new Error(`the guest has no section ${id}`);
  return found.bytes;
}

/** A section that is a list, with more entries. */
function appended(bytes, entries) {
  const reader = new Reader(bytes);
  const count = reader.u32();
  return Uint8Array.from([
    ...u32(count + entries.length),
    ...bytes.subarray(reader.at),
    ...entries.flat(),
  ]);
}

class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Error("the guest ends too early");
    return this.bytes[this.at++];
  }

  take(count) {
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  /** LEB128. Of one with a sign, or with 64 bits, only the length is right. */
  u32() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  text() {
    return new TextDecoder().decode(this.take(this.u32()));
  }
}

function u32(value) {
  const bytes = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** Of one that is not negative: the last byte's second bit is its sign. */
function s64(value) {
  const bytes = [];
  for (; value >= 0x40; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

function text(value) {
  const bytes = new TextEncoder().encode(value);
  return [...u32(bytes.length), ...bytes];
}
