// Keeps the style of the sources: width of lines, a header in each file, plain words in comments
// and messages, short cells in tables.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { lineAt, sources, tokens } from "./sources.mjs";

const COLUMNS = 100;
/** Longest cell of a table in Markdown, in characters: longer text is prose. */
const CELL_CHARS = 100;

/** Words that comments and messages do without, and the plain ones. `in` is where, if not in both. */
const BANNED = [
  { words: /\bmend(?:s|ed|ing)?\b/i, plain: "fix" },
  { words: /\banew\b/i, plain: "again" },
  { words: /\bin the place of\b/i, plain: "instead of" },
  { words: /\b(?:is|are|was|were) no more\b/i, plain: "has ended, has expired" },
  { words: /\b(?:good|valid|there) no more\b/i, plain: "no longer" },
  { words: /\bas far as\b/i, plain: "up to, as much as" },
  { words: /\bso many\b/i, plain: "at most N, the number of" },
  { words: /\bwhoever\b/i, plain: "the client, a caller" },
  { words: /\bbecomes of\b/i, plain: "happens to" },
  { words: /\bthe same, of\b/i, plain: "the same for" },
  { words: /\b(?:hears?|heard|tells?|told|speaks?)\b/i, plain: "receives, sends", in: ["comment"] },
];

/** A comment begins with a verb or with an article and a noun. */
const NO_BEGINNING = /^(?:What|Who|Whoever|Whether|Which|So many)\b/;

/**
 * Where a rule does not hold yet: beginnings of paths. They leave this list, and none comes in.
 */
const NOT_YET = {
  width: [],
  header: [],
  words: [],
  tables: [],
};
const where = (rule, files) =>
  files.filter(({ path }) => !NOT_YET[rule].some((beginning) => path.startsWith(beginning)));

const CODE = sources([".rs", ".mjs", ".cjs", ".js"]);
const SCRIPTS = sources([".py", ".sh"]);
const PAGES = sources([".md"]);

test("the sources are found, and their comments and literals", () => {
  assert.ok(CODE.length > 300 && SCRIPTS.length > 10 && PAGES.length > 10);
  const texts = (path, text) =>
    tokens({ path, text }).map(({ kind, begin, end }) => `${kind} ${text.slice(begin, end)}`);
  assert.deepEqual(texts("a.rs", `let a: &'a str = r#"// "x"#; // b '"' c\nf('"', "d\\"e")`), [
    `string r#"// "x"#`,
    `comment // b '"' c`,
    `string "d\\"e"`,
  ]);
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: sources inside a source.
  assert.deepEqual(texts("a.mjs", 'a(`b ${c(`d`, {})} // e`, 1 / 2, /[/"]/g) /* f */'), [
    "string `b ${c(`d`, {})} // e`",
    'regex /[/"]/g',
    "comment /* f */",
  ]);
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: as above.
});

test(`no line has more than ${COLUMNS} columns besides its literals and addresses`, () => {
  const wide = where("width", CODE).flatMap((file) =>
    withoutLongWords(file)
      .split("\n")
      .flatMap((line, index) => ([...line].length > COLUMNS ? [`${file.path}:${index + 1}`] : [])),
  );
  assert.deepEqual(wide, []);
});

test("every file begins with a comment that is a sentence", () => {
  const without = where("header", [...CODE, ...SCRIPTS])
    // Unit tests have the header of their module.
    .filter(({ path }) => !/\/src\/.*\btests(?:\/|\.rs$)/.test(path))
    .filter(({ text }) => !isHeader(headerOf(text)));
  assert.deepEqual(
    without.map(({ path }) => path),
    [],
  );
});

describe("comments and messages are in plain words", () => {
  const rewritten = where("words", CODE);

  for (const { words, plain, in: kinds = ["comment", "string"] } of BANNED)
    test(`${words}: ${plain}`, () => {
      const found = rewritten.flatMap((file) =>
        tokens(file)
          .map(({ kind, begin, end }) => ({
            kind,
            begin,
            text: wordsOf(file.text.slice(begin, end)),
          }))
          .filter(({ kind, text }) => kinds.includes(kind) && / /.test(text))
          .filter(({ text }) => words.test(text))
          .map(({ begin, text }) => `${file.path}:${lineAt(file.text, begin)} ${text.trim()}`),
      );
      assert.deepEqual(found, []);
    });

  test(`a comment begins with a verb or a noun, not with ${NO_BEGINNING}`, () => {
    const found = rewritten.flatMap((file) =>
      comments(file)
        .filter(({ text }) => NO_BEGINNING.test(text))
        .map(({ line, text }) => `${file.path}:${line} ${text}`),
    );
    assert.deepEqual(found, []);
  });
});

test(`no cell of a table has more than ${CELL_CHARS} characters`, () => {
  const long = where("tables", PAGES).flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        line.startsWith("|") && line.split("|").some((cell) => cell.trim().length > CELL_CHARS)
          ? [`${path}:${index + 1}`]
          : [],
      ),
  );
  assert.deepEqual(long, []);
});

/** Returns a literal or comment without the expressions of a template. */
const wordsOf = (text) => text.replace(/\$\{[^}]*\}/g, "");

/** Returns the text with short words instead of literals, and of addresses and code in comments. */
function withoutLongWords(file) {
  let rest = "";
  let at = 0;
  for (const { kind, begin, end } of tokens(file)) {
    const token = file.text.slice(begin, end);
    const short =
      kind === "comment"
        ? token.replace(/\/\/[/!]? *[|│{].*/, "x").replace(/https?:\/\/\S+|`[^`\n]+`/g, "x")
        : `""${token.replace(/[^\n]/g, "")}`;
    rest += file.text.slice(at, begin) + short;
    at = end;
  }
  return rest + file.text.slice(at);
}

/** Returns the comment that a file begins with, as one line. */
function headerOf(text) {
  const body = text
    .replace(/^#!\/.*\n/, "")
    .replace(/^\s*(?:#!\[.*\]|"use strict";)\n/, "")
    .trimStart();
  const [header] = body.match(
    /^(?:"""[\s\S]*?"""|\/\*[\s\S]*?\*\/|(?:(?:\/\/[/!]?|#)(?:[^\n!][^\n]*)?\n)+)/,
  ) ?? [""];
  return header
    .replace(/^(?:"""|\/\*+|[ \t]*(?:\/\/[/!]?|#|\*(?!\/)))[ \t]?|"""|\*\/$/gm, "")
    .replace(/\s+/g, " ")
    .trim();
}

const isHeader = (header) => /^[\w`"]\S*(?: \S+){2,}?[.:](?: |$)/.test(header);

/** Returns the comments, lines that follow each other as one: `{ line, text }`. */
function comments(file) {
  let last;
  return tokens(file)
    .filter(({ kind }) => kind === "comment")
    .filter(({ begin, end }) => {
      const follows = last !== undefined && /^\n[ \t]*$/.test(file.text.slice(last, begin));
      last = end;
      return !follows || file.text.startsWith("/*", begin);
    })
    .map(({ begin, end }) => ({
      line: lineAt(file.text, begin),
      text: file.text
        .slice(begin, end)
        .replace(/^[/*!\s]+/, "")
        .split("\n")[0],
    }));
}
