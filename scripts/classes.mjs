// The classes of a module that has no objects of them. The crate `worker` exports some for products
// that this Worker does not use: R2, containers, streams made in Rust. The linker keeps their code,
// because an export counts as used.

import { EXPORTS, exportsContent, exportsIn, importsOf, moduleOf, sectionsOf } from "./wasm.mjs";

/**
 * Returns the module without the functions that it exports for classes without objects. An object
 * comes from the class's constructor, `<class>_new`, or from the module itself, which imports
 * `__wbg_<class>_new` for it.
 */
export function dropUnusedClasses(module) {
  const imported = new Set(importsOf(module).map(({ name }) => name));
  const sections = sectionsOf(module).map(({ id, content }) => {
    if (id !== EXPORTS) return { id, content };
    const exported = exportsIn(content);
    const names = new Set(exported.map(({ name }) => name));
    const unused = [...names]
      .flatMap((name) => name.match(/^__wbg_(\w+)_free$/)?.slice(1) ?? [])
      .filter((name) => !names.has(`${name}_new`) && !imported.has(`__wbg_${name}_new`));
    const isKept = ({ name }) =>
      !unused.some((own) => new RegExp(`^(__wbg_|__wbg_[gs]et_|)${own}_`).test(name));
    return { id, content: exportsContent(exported.filter(isKept)) };
  });
  return moduleOf(sections);
}
