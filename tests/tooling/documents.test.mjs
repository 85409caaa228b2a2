// The documents hold together: links and anchors lead somewhere, paths exist, indexes are complete,
// sizes and forms are kept, and figures that are repeated are those of their source.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";

const tracked = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((path) => path && existsSync(join(ROOT, path)));
const read = (path) => readFileSync(join(ROOT, path), "utf8");
const DOCUMENTS = tracked.filter((path) => path.endsWith(".md"));

/** The lines outside of fenced code, as `{ path, number, line }`; tables of the bench are its own. */
function proseOf(path) {
  let isCode = false;
  let isBench = false;
  return read(path)
    .split("\n")
    .map((line, index) => {
      if (line.startsWith("```")) isCode = !isCode;
      if (/^<!-- \/?bench:/.test(line)) isBench = !line.includes("/bench:");
      const isProse = !isCode && !isBench && !line.startsWith("```");
      return { path, number: index + 1, line: isProse ? line : "" };
    });
}

const at = ({ path, number, line }) => `${path}:${number} ${line.slice(0, 120)}`;

/** The anchors of a document's headings, as GitHub makes them. */
const anchorsOf = (path) =>
  new Set(
    proseOf(path)
      .filter(({ line }) => /^#+ /.test(line))
      .map(({ line }) =>
        line
          .replace(/^#+ /, "")
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, "")
          .replaceAll(" ", "-"),
      ),
  );

test("every link leads to a file, and every anchor to a heading", () => {
  let count = 0;
  for (const path of DOCUMENTS) {
    for (const { number, line } of proseOf(path)) {
      for (const [, target] of line.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        count += 1;
        const [file, anchor] = target.split("#");
        const to = file ? relative(ROOT, join(ROOT, dirname(path), file)) : path;
        assert.ok(existsSync(join(ROOT, to)), `${path}:${number}: there is no ${to}`);
        if (anchor)
          assert.ok(
            anchorsOf(to).has(anchor),
            `${path}:${number}: ${to} has no heading #${anchor}`,
          );
      }
    }
  }
  assert.ok(count > 100, `${count} links found`);
});

/** Names of models, which look like a path of a folder here. */
const MODEL = /^openclaw\/\w+$/;

test("every path that a document names exists", () => {
  const folders = new Set(tracked.map((path) => path.split("/")[0]));
  let count = 0;
  for (const path of DOCUMENTS.filter((path) => path !== "CHANGELOG.md")) {
    for (const { number, line } of proseOf(path)) {
      for (const [, name] of line.matchAll(/`([\w.-]+\/[\w./-]*)`/g)) {
        if (!folders.has(name.split("/")[0]) || MODEL.test(name)) continue;
        count += 1;
        const isThere = existsSync(join(ROOT, name)) || existsSync(join(ROOT, dirname(path), name));
        assert.ok(isThere, `${path}:${number}: there is no ${name}`);
      }
    }
  }
  assert.ok(count > 40, `${count} paths found`);
});

test("README and ARCHITECTURE can be read at one sitting", () => {
  for (const [path, limit] of [
    ["README.md", 100],
    ["ARCHITECTURE.md", 150],
  ]) {
    const lines = read(path).trimEnd().split("\n").length;
    assert.ok(lines <= limit, `${path} has ${lines} lines, of ${limit}`);
  }
});

test("the index of documents and that of decisions are complete", () => {
  const index = read("docs/index.md");
  for (const name of readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md")))
    assert.ok(name === "index.md" || index.includes(`](${name})`), `docs/index.md lacks ${name}`);
  const records = readdirSync(join(ROOT, "docs/decisions")).filter((name) => /^\d/.test(name));
  const listed = [
    ...read("docs/decisions/README.md").matchAll(/^- \[(\d{4})\]\(([^)]+)\): (.+)$/gm),
  ];
  assert.deepEqual(
    listed.map(([, , name]) => name),
    records,
  );
  for (const [, number, name, title] of listed) {
    const text = read(`docs/decisions/${name}`);
    assert.ok(name.startsWith(`${number}-`) && text.startsWith(`# ${number}: ${title}\n`), name);
    const headings = [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
    assert.deepEqual(
      headings,
      ["Context", "Decision", "Alternatives", "Evidence", "Revisit when"],
      name,
    );
  }
});

test("prose has one sentence a line", () => {
  const several = DOCUMENTS.flatMap(proseOf).filter(
    ({ line }) =>
      !line.startsWith("|") &&
      !line.startsWith("#") &&
      /[a-z0-9)`*"][.!?] +[A-Z`*"]/.test(line.replace(/^ *\d+\. |`[^`]+`/g, "x")),
  );
  assert.deepEqual(several.map(at), []);
});

test("the figures of README's costs are those of the bench", () => {
  const readme = read("README.md");
  const bench = read("docs/performance.md");
  for (const [row, words] of [
    ["10 deltas, warm: Clawfront", (ms) => `${ms} ms of CPU for a short answer`],
    ["1,000 deltas in a burst, warm: Clawfront", (ms) => `${ms} ms for an answer of 1,000 pieces`],
    ["10 deltas, first request of a runtime: Clawfront", (ms) => `cold start took ${ms} ms`],
  ]) {
    const [, ms] = bench.match(new RegExp(`^\\| ${row} \\| ([\\d.]+) ms \\|`, "m"));
    assert.ok(readme.includes(words(ms)), words(ms));
  }
});
