// The parts of a WebAssembly module's binary form that the build reads and changes. Source:
// WebAssembly 2.0, chapter 5; tags are from the proposal of exceptions.

/** Sections of a module, and a subsection of its names. */
export const CUSTOM = 0;
export const IMPORTS = 2;
export const EXPORTS = 7;
export const CODE = 10;
export const FUNCTION_NAMES = 1;

/** Kinds of imports. */
const FUNCTION = 0;
const TAG = 4;

/** Bytes of the magic number and the version. */
const HEADER_BYTES = 8;

/** Reads bytes, from the first on. */
class Reader {
  constructor(bytes, at = 0) {
    Object.assign(this, { bytes, at });
  }

  get isAtEnd() {
    return this.at >= this.bytes.length;
  }

  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  /** Returns the bytes that their own number comes before. */
  counted() {
    const length = this.number();
    const begin = this.at;
    this.at += length;
    return this.bytes.subarray(begin, this.at);
  }

  name() {
    return this.counted().toString();
  }

  /** Returns as many items as the number before them says. */
  list(item) {
    return Array.from({ length: this.number() }, item);
  }
}

/** Returns the sections of a module, in their order: `{ id, content }`. */
export function sectionsOf(module) {
  const reader = new Reader(module, HEADER_BYTES);
  const sections = [];
  while (!reader.isAtEnd) sections.push({ id: reader.number(), content: reader.counted() });
  return sections;
}

/** Returns a module with these sections. */
export const moduleOf = (sections) =>
  Buffer.concat([
    Buffer.from([0, ...Buffer.from("asm"), 1, 0, 0, 0]),
    ...sections.flatMap(({ id, content }) => [
      Buffer.from([id, ...number(content.length)]),
      content,
    ]),
  ]);

/** Returns the content of a module's section of this kind, if it has one. */
const contentOf = (module, id) => sectionsOf(module).find((section) => section.id === id)?.content;

/** Returns the bodies of a module's functions. */
export function bodiesOf(module) {
  const reader = new Reader(contentOf(module, CODE));
  return reader.list(() => reader.counted());
}

/** Returns the imports in a section of them: `{ from, name, kind, type }`. */
export function importsIn(content) {
  const reader = new Reader(content);
  return reader.list(() => {
    const [from, name, kind] = [reader.name(), reader.name(), reader.number()];
    if (kind !== FUNCTION && kind !== TAG)
      throw new Error(`wasm-bindgen used to import only functions and tags, no kind ${kind}.`);
    const type = kind === TAG ? [reader.number(), reader.number()] : [reader.number()];
    return { from, name, kind, type };
  });
}

/** Returns a section's content for these imports. */
export const importsContent = (imports) =>
  Buffer.from([
    ...number(imports.length),
    ...imports.flatMap(({ from, name, kind, type }) => [
      ...text(from),
      ...text(name),
      kind,
      ...type.flatMap(number),
    ]),
  ]);

/** Returns a module's imports. */
export const importsOf = (module) => importsIn(contentOf(module, IMPORTS));

/** Returns how many functions a module imports. */
export const countImportedFunctions = (module) =>
  importsOf(module).filter(({ kind }) => kind === FUNCTION).length;

/** Returns the exports in a section of them: `{ name, kind, index }`. */
export function exportsIn(content) {
  const reader = new Reader(content);
  return reader.list(() => ({
    name: reader.name(),
    kind: reader.number(),
    index: reader.number(),
  }));
}

/** Returns a section's content for these exports. */
export const exportsContent = (exported) =>
  Buffer.from([
    ...number(exported.length),
    ...exported.flatMap(({ name, kind, index }) => [...text(name), kind, ...number(index)]),
  ]);

/** Returns the bytes of a number. */
export function number(value) {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...number(value >>> 7)];
}

/** Returns the bytes of a text, after their number. */
export const text = (value) => [...number(Buffer.byteLength(value)), ...Buffer.from(value)];
