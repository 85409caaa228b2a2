// The classes of a module that has no objects of them. The crate `worker` exports some for products
// that this Worker does not use: R2, containers, streams made in Rust. The linker keeps their code,
// because an export counts as used.

import { EXPORTS, exportsContent, exportsIn, importsOf, moduleOf, sectionsOf } from "./wasm.mjs";

/**
 * Returns the module and its glue without the classes that have no objects. An object comes from
 * the class's constructor, `<class>_new`, or from the module itself, which imports
 * `__wbg_<class>_new` for it. The module loses their exports. The glue loses what keeps a bundler
 * from dropping them.
 */
export function dropUnusedClasses({ module, glue }) {
  const imported = new Set(importsOf(module).map(({ name }) => name));
  let unused = [];
  const sections = sectionsOf(module).map(({ id, content }) => {
    if (id !== EXPORTS) return { id, content };
    const exported = exportsIn(content);
    const names = new Set(exported.map(({ name }) => name));
    unused = [...names]
      .flatMap((name) => name.match(/^__wbg_(\w+)_free$/)?.slice(1) ?? [])
      .filter((name) => !names.has(`${name}_new`) && !imported.has(`__wbg_${name}_new`));
    const isKept = ({ name }) =>
      !unused.some((own) => new RegExp(`^(__wbg_|__wbg_[gs]et_|)${own}_`).test(name));
    return { id, content: exportsContent(exported.filter(isKept)) };
  });
  return { module: moduleOf(sections), glue: unused.reduce(withoutUses, glue) };
}

/** The mark of a call that a bundler may drop if nothing uses its result. */
const PURE = "/* @__PURE__ */";

/**
 * Returns the glue without the uses of a class outside of its definition: its registry, its
 * disposal, its proxy and its export. Minified names may have a `$`, which `\w` does not match.
 */
function withoutUses(glue, name) {
  const free = `\\.__wbg_${name}_free\\(`;
  const [before] = glue.split(new RegExp(`${free}[\\w$]+,0\\)`), 1);
  const own = before.match(/^.*[^\w$]([\w$]+)=class\{/s)?.[1];
  const registry = new RegExp(`new FinalizationRegistry\\((?=\\(\\{[^?;]*?${free})`);
  if (before === glue || !own || !registry.test(glue)) {
    throw new Error(`wasm-bindgen used to write a class and a registry for ${name}.`);
  }
  const proxy = new RegExp(`([\\w$]+)=new Proxy\\(${own.replaceAll("$", "\\$")},[\\w$]+\\)`);
  const proxied = glue.match(proxy)?.[1];
  return glue
    .replace(registry, `${PURE}$&`)
    .replace(`Symbol.dispose&&(${own}.prototype[Symbol.dispose]=${own}.prototype.free)`, "0")
    .replace(proxy, "$1=0")
    .replace(/(?<=\bexport\{)[^}]*/, (list) =>
      list
        .split(",")
        .filter((item) => item.split(" as ", 1)[0] !== proxied)
        .join(),
    );
}
