// Reads the sources of this repository for the tests that look at them: files, and in Rust and
// JavaScript the comments and literals.

import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { ROOT } from "../../scripts/paths.mjs";

/** Folders that git ignores, and those with files that programs write. */
const SKIPPED = new Set(["node_modules", "target", "build", "dist", ".git", ".cache", ".wrangler"]);

/** Returns the files with one of the extensions, as `{ path, text }`, the path from the root on. */
export function sources(extensions, folder = ROOT) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : sources(extensions, path);
      if (!entry.isFile() || !extensions.includes(extname(entry.name))) return [];
      return [{ path: relative(ROOT, path), text: readFileSync(path, "utf8") }];
    });
}

/**
 * Returns the tokens of Rust or JavaScript that are not code: `{ kind, begin, end }`, where `kind`
 * is "comment", "string" or "regex".
 */
export function tokens({ path, text }) {
  return path.endsWith(".rs") ? rustTokens(text) : javaScriptTokens(text);
}

/** Alternatives in order: the first one that matches at a place wins. */
const RUST =
  /(?<comment>\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(?<string>\bb?r(#*)"[\s\S]*?"\3|"(?:[^"\\]|\\[\s\S])*")|'(?:[^'\\\n]|\\[^\n]+?)'/g;

function rustTokens(text) {
  return [...text.matchAll(RUST)]
    .filter(({ groups }) => groups.comment ?? groups.string)
    .map(({ 0: token, index, groups }) => ({
      kind: groups.comment ? "comment" : "string",
      begin: index,
      end: index + token.length,
    }));
}

const JAVASCRIPT =
  /(?<comment>\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(?<string>"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*')|(?<regex>\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*)|(?<mark>[`{}])/y;
/** A `/` after these begins a regular expression: an operand cannot end there. */
const BEFORE_REGEX = /(?:^|[=(,[:!&|?{};+\-*%<>~^]|\b(?:return|case|typeof|of|in|await))\s*$/;

function javaScriptTokens(text) {
  const found = [];
  // One entry for each open brace; `template` is where the template literal around it began.
  const open = [];
  let at = 0;
  /** Goes on in the template literal that began at `begin`, to its end or its next expression. */
  const template = (begin) => {
    const [rest] = text.slice(at).match(/^(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{|$)/);
    at += rest.length;
    if (rest.endsWith("${")) open.push({ template: begin });
    else if (!open.some((brace) => brace.template !== undefined))
      found.push({ kind: "string", begin, end: at });
  };
  while (at < text.length) {
    JAVASCRIPT.lastIndex = at;
    const match = JAVASCRIPT.exec(text);
    const groups = match?.groups ?? {};
    const isRegex = groups.regex && BEFORE_REGEX.test(text.slice(Math.max(0, at - 200), at));
    if (!match || (groups.regex && !isRegex)) {
      at += 1;
      continue;
    }
    const begin = at;
    at += match[0].length;
    if (groups.mark === "`") template(begin);
    else if (groups.mark === "{") open.push({});
    else if (groups.mark === "}") {
      const { template: outer } = open.pop() ?? {};
      if (outer !== undefined) template(outer);
    } else if (!open.some((brace) => brace.template !== undefined)) {
      const kind = groups.comment ? "comment" : groups.string ? "string" : "regex";
      found.push({ kind, begin, end: at });
    }
  }
  return found;
}

/** Returns the line of a place in a text, counted from 1. */
export function lineAt(text, index) {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < index; at = text.indexOf("\n", at + 1))
    line += 1;
  return line;
}
