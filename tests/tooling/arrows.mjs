// Computes which file names which, from the sources of Rust and JavaScript.

import { dirname, join, normalize } from "node:path";
import { sources, tokens } from "./sources.mjs";

/** The crates of this repository: the name that others use, and the folder of their modules. */
export const CRATES = {
  clawfront: "src",
  clawfront_core: "core/src",
  clawfront_cli: "cli/src",
  clawfront_sim: "sim/src",
  clawfront_cases: "bench/instructions/cases/src",
  clawfront_guest: "bench/instructions/guest/src",
  clawfront_fuzz: "fuzz/src",
};

/** Returns the arrows between files as a map from each path to the set of paths that it names. */
export function rustArrows() {
  const files = Object.values(CRATES).flatMap((folder) => modules(folder));
  const byModule = new Map(files.map((file) => [`${file.crate} ${file.module.join("::")}`, file]));
  return new Map(
    files.map((file) => [
      file.path,
      new Set(
        namedPaths(file)
          .map((path) => fileOf(path, file, byModule))
          .filter((target) => target && target !== file.path),
      ),
    ]),
  );
}

/** Returns the imports of JavaScript that are loaded with their file, as `rustArrows` does. */
export function javaScriptArrows() {
  const files = sources([".mjs", ".cjs", ".js"]);
  const known = new Set(files.map(({ path }) => path));
  return new Map(
    files.map(({ path, text }) => [
      path,
      new Set(
        [...text.matchAll(/^(?:import|export)\b[^;"]*?"(\.[^"]+)";$/gm)]
          .map(([, name]) => normalize(join(dirname(path), name)))
          .filter((target) => known.has(target)),
      ),
    ]),
  );
}

/** Returns the groups of files of which each reaches every other one, sorted. */
export function circles(arrows) {
  const order = new Map();
  const low = new Map();
  const stack = [];
  const found = [];
  // Tarjan's algorithm. The deepest chain of files here is far below the limit of recursion.
  const visit = (file) => {
    order.set(file, order.size);
    low.set(file, order.get(file));
    stack.push(file);
    for (const next of arrows.get(file) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(file, Math.min(low.get(file), low.get(next)));
    }
    if (low.get(file) !== order.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1) found.push(group.sort());
  };
  for (const file of arrows.keys()) if (!order.has(file)) visit(file);
  return found.sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

/** Returns the modules of a crate, without unit tests: `{ path, folder, module, code }`. */
function modules(folder) {
  return sources([".rs"])
    .filter(({ path }) => path.startsWith(`${folder}/`) && !/\btests(\/|\.rs$)/.test(path))
    .map(({ path, text }) => {
      const names = path.slice(folder.length + 1, -".rs".length).split("/");
      if (["mod", "lib", "main"].includes(names.at(-1))) names.pop();
      const code = codeOf({ path, text }).split(/#\[cfg\(test\)\]\s*mod tests/)[0];
      return { path, crate: folder, module: names, code };
    });
}

/** Returns the text with blanks instead of comments and literals. */
function codeOf(file) {
  let code = "";
  let at = 0;
  for (const { begin, end } of tokens(file)) {
    code += `${file.text.slice(at, begin)} `;
    at = end;
  }
  return code + file.text.slice(at);
}

/** Returns the paths that a module names, each as a list of words. */
function namedPaths({ code }) {
  const uses = [...code.matchAll(/\buse\s+([^;]+);/g)].flatMap(([, tree]) => leaves(tree));
  const rest = code.replace(/\buse\s+[^;]+;/g, "");
  const inline = [...rest.matchAll(/(?<![\w:])(?:[a-z_]\w*::)+\w+/g)].map(([path]) =>
    path.split("::"),
  );
  return [...uses, ...inline];
}

/** Returns the paths of the tree that `use` takes: `a::{b, c::d}` is `a::b` and `a::c::d`. */
function leaves(tree) {
  const brace = tree.indexOf("{");
  if (brace === -1)
    return [
      tree
        .split(/\bas\b/)[0]
        .trim()
        .split("::"),
    ];
  const head = tree.slice(0, brace).trim().split("::").filter(Boolean);
  const parts = [];
  let depth = 0;
  let part = "";
  for (const char of tree.slice(brace + 1, tree.lastIndexOf("}"))) {
    if (char === "{") depth += 1;
    if (char === "}") depth -= 1;
    if (char === "," && depth === 0) {
      parts.push(part);
      part = "";
    } else part += char;
  }
  return [...parts, part]
    .filter((each) => each.trim())
    .flatMap((each) => leaves(each).map((path) => [...head, ...path]));
}

/** Returns the file of the longest module that a path leads through, or `undefined`. */
function fileOf(path, { crate, module }, byModule) {
  let folder = crate;
  let names;
  if (path[0] === "crate") names = path.slice(1);
  else if (path[0] === "self") names = [...module, ...path.slice(1)];
  else if (path[0] === "super") {
    const ups = path.findIndex((name) => name !== "super");
    names = [...module.slice(0, module.length - ups), ...path.slice(ups)];
  } else if (CRATES[path[0]]) {
    folder = CRATES[path[0]];
    names = path.slice(1);
  } else {
    // A child of this module, or a name of another crate.
    if (!byModule.has(`${crate} ${[...module, path[0]].join("::")}`)) return undefined;
    names = [...module, ...path];
  }
  // The last word is an item, which may have the name of a module.
  for (let length = names.length; length >= 0; length -= 1) {
    const file = byModule.get(`${folder} ${names.slice(0, length).join("::")}`);
    if (file) return file.path;
  }
  return undefined;
}
