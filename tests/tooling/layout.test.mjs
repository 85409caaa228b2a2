// Tests the build's changes to the Worker's module: functions that are alike become neighbours,
// none is lost, imports get short names in the module and in its glue, and classes without objects
// are not in the upload.

import assert from "node:assert/strict";
import { test } from "node:test";
import { transformSync } from "esbuild";
import { dropUnusedClasses } from "../../scripts/classes.mjs";
import { shortenImports } from "../../scripts/import-names.mjs";
import { nameByLikeness, orderByLikeness } from "../../scripts/layout.mjs";
import {
  EXPORTS,
  exportsContent,
  exportsIn,
  IMPORTS,
  importsContent,
  moduleOf,
  sectionsOf,
} from "../../scripts/wasm.mjs";

test("pieces of code that are alike follow each other, after the longest one", () => {
  const pieces = ["a long one with no likeness", "first kind: 1", "other sort; 1"];
  pieces.push("first kind: 2", "other sort; 2", "first kind: 3", "", "??");
  const order = orderByLikeness(pieces.map((piece) => Buffer.from(piece)));
  const kinds = order.map((index) => pieces[index].replace(/ \d$/, ""));
  assert.equal(kinds[0], pieces[0]);
  assert.deepEqual(
    order.toSorted((a, b) => a - b),
    [...pieces.keys()],
  );
  for (const [kind, count] of [
    ["first kind:", 3],
    ["other sort;", 2],
  ]) {
    const begin = kinds.indexOf(kind);
    assert.deepEqual(kinds.slice(begin, begin + count), Array(count).fill(kind));
  }
});

/** A module with an imported tag `t`, an imported function `f`, and two that drop a constant. */
const MODULE = Buffer.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 4, 1, 0x60, 0, 0],
  ...[2, 14, 2, 1, 0x6d, 1, 0x74, 4, 0, 0, 1, 0x6d, 1, 0x66, 0, 0],
  ...[3, 3, 2, 0, 0],
  ...[10, 13, 2, 5, 0, 0x41, 1, 0x1a, 0x0b, 5, 0, 0x41, 2, 0x1a, 0x0b],
]);

test("the names give the order, and leave the module as it is", async () => {
  const named = nameByLikeness(MODULE);
  const [names] = WebAssembly.Module.customSections(await WebAssembly.compile(named), "name");
  assert.deepEqual(named.subarray(0, MODULE.length), MODULE);
  // The subsection of functions, 17 bytes, two of them: each an index and a name.
  const entry = (index, name) => [index, name.length, ...Buffer.from(name)];
  const entries = [...entry(1, "000000"), ...entry(2, "000001")];
  assert.deepEqual([...new Uint8Array(names)], [1, 17, 2, ...entries]);
});

test("imports have short names, in the module and in its glue, and nothing else changes", () => {
  const rename = (name) => [name.length, ...Buffer.from(name)];
  const imports = (tag, call) => {
    const items = [...rename("m"), ...rename(tag), 4, 0, 0, ...rename("m"), ...rename(call), 0, 0];
    return [2, items.length + 1, 2, ...items];
  };
  const begin = MODULE.indexOf(Buffer.from([2, 14, 2, 1]));
  const moduleWith = (section) =>
    Buffer.from([...MODULE.subarray(0, begin), ...section, ...MODULE.subarray(begin + 16)]);
  const [tag, call] = ["__wbindgen_jstag", "__wbg_call_0123456789abcdef"];
  const glue = `({${tag}:a,${call}:function(){},__wbindgen_export5:b,own__wbg:c})`;
  assert.deepEqual(shortenImports({ module: moduleWith(imports(tag, call)), glue }), {
    module: moduleWith(imports("__0", "__1")),
    glue: "({__0:a,__1:function(){},__wbindgen_export5:b,own__wbg:c})",
  });
});

test("a module of ours that the imports name several times is named once", () => {
  const [guard, frames] = ['"./snippets/own/guard.js"', '"./snippets/own/frames.js"'];
  const glue = `({"./index_bg.js":a,${guard}:b,${guard}:b,${guard}:b,${frames}:c,${guard}:d})`;
  assert.equal(
    shortenImports({ module: moduleOf([]), glue }).glue,
    `({"./index_bg.js":a,${guard}:b,${frames}:c,${guard}:d})`,
  );
});

test("a class of which there are no objects has no exports, and any other keeps all", () => {
  const imports = importsContent([
    { from: "m", name: "__wbg_made_new", kind: 0, type: [0] },
    { from: "m", name: "__wbg_get_lone_new", kind: 0, type: [0] },
  ]);
  const moduleWith = (names) => {
    const exported = names.map((name, index) => ({ name, kind: 0, index }));
    return moduleOf([
      { id: IMPORTS, content: imports },
      { id: EXPORTS, content: exportsContent(exported) },
    ]);
  };
  const kept = ["__wbg_hub_free", "hub_new", "hub_fetch", "__wbg_made_free", "made_take", "fetch"];
  const lone = ["__wbg_lone_free", "__wbg_get_lone_size", "__wbg_set_lone_size", "lone_take"];
  const { module, glue } = dropUnusedClasses({
    module: moduleWith([...kept, ...lone]),
    glue: GLUE,
  });
  assert.deepEqual(
    exportsIn(sectionsOf(module)[1].content).map(({ name }) => name),
    kept,
  );
  const { code } = transformSync(glue, { format: "esm", minify: true, treeShaking: true });
  assert.match(code, /hub_free.*hub_free.*export\{\w+ as Hub\}/s);
  assert.doesNotMatch(code, /lone/i);
});

/** Glue with two classes, as wasm-bindgen and worker-build write it. */
const GLUE = ["Hub", "Lone"]
  .map((name) => {
    const [own, free] = [`$${name}`, `i.__wbg_${name.toLowerCase()}_free`];
    return `var ${own}=class{free(){let e=this.p;${own}R.unregister(this);${free}(e,0)}};
Symbol.dispose&&(${own}.prototype[Symbol.dispose]=${own}.prototype.free);
var ${own}R=typeof FinalizationRegistry>"u"?{register:()=>{}}
:new FinalizationRegistry(({ptr:r})=>{${free}(r,1)});
var ${own}P=new Proxy(${own},C$);`;
  })
  .join("\n")
  .concat("export{$HubP as Hub,$LoneP as Lone};");
