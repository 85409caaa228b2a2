// The names of the functions that a module imports from its glue. wasm-bindgen ends most of them
// with a hash, and it is in both files: 3.5 KiB of the upload, for nothing that anybody reads.

import { IMPORTS, importsContent, importsIn, moduleOf, sectionsOf } from "./wasm.mjs";

/** Names that wasm-bindgen has made. */
const MADE = /^__wb\w+$/;

/**
 * An entry of the imports that is followed by itself. wasm-bindgen names a module of ours once for
 * each of its functions that the module calls without glue, and wrangler warns of that.
 */
const REPEATED = /("\.\/snippets\/[^"]+":[\w$]+),(?=\1[,}])/g;

/** Returns the module and its glue with short names for imports, and each module named once. */
export function shortenImports({ module, glue }) {
  const short = new Map();
  const shorten = (name) => {
    if (!MADE.test(name)) return name;
    if (!short.has(name)) short.set(name, `__${short.size.toString(36)}`);
    return short.get(name);
  };
  const sections = sectionsOf(module).map(({ id, content }) => {
    if (id !== IMPORTS) return { id, content };
    const imports = importsIn(content).map((item) => ({ ...item, name: shorten(item.name) }));
    return { id, content: importsContent(imports) };
  });
  return {
    module: moduleOf(sections),
    glue: glue.replaceAll(/\b__wb\w+/g, (name) => short.get(name) ?? name).replace(REPEATED, ""),
  };
}
