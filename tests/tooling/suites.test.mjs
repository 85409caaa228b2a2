// How `npm test` runs its suites: every failure counts, and a file that fails runs once more,
// alone, to show why.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { temporaryFolder } from "../support/folder.mjs";

const folder = temporaryFolder("suites");

/** Runs one suite of files with these contents; `{ code, output }`. `fields` are of the suite. */
function suite(contents, fields = {}) {
  const files = Object.entries(contents).map(([name, code]) => {
    const path = join(folder, `${name}.test.mjs`);
    writeFileSync(
      path,
      `import { test } from "node:test"; import * as fs from "node:fs";\n${code}`,
    );
    return path;
  });
  const code = `
    import { runSuites } from ${JSON.stringify(join(ROOT, "scripts/suites.mjs"))};
    const suite = { name: "Suite, one", files: ${JSON.stringify(files)}, env: process.env, concurrency: 2, timeoutMs: 20_000, ...${JSON.stringify(fields)} };
    await runSuites([{ suites: [suite], width: 2 }], { folder: ${JSON.stringify(join(folder, "results"))} }).catch(() => (process.exitCode = 1));
  `;
  // In its own test runner, not as a part of this one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { env });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output })));
}

const PASSES = 'test("passes", () => {});';
const FAILS = 'test("fails", () => { throw new Error("no"); });';
/** Fails at its first run, like a test that runs out of time on a busy machine. */
const failsOnce = () => {
  const mark = JSON.stringify(join(folder, `mark-${Math.random()}`));
  return `test("fails once", () => { if (!fs.existsSync(${mark})) { fs.writeFileSync(${mark}, ""); throw new Error("no"); } });`;
};

test("counts all files of a suite that passes", async () => {
  const { code, output } = await suite({ a: PASSES, b: PASSES });
  assert.equal(code, 0, output);
  assert.match(output, /^ℹ pass 2\nℹ fail 0$/m);
  assert.doesNotMatch(output, /alone/);
});

test("counts the tests of files that run in one process, and names the one that fails", async () => {
  const shares =
    'test("shares", () => { globalThis.seen = (globalThis.seen ?? 0) + 1; if (globalThis.seen > 2) throw new Error("no"); });';
  const rest =
    'test("waits", { timeout: 1 }, () => new Promise((r) => setTimeout(r, 100))); test("left out", { skip: true }, () => {});';
  const one = { isolation: false };
  const passes = await suite({ a: shares, b: shares }, one);
  assert.equal(passes.code, 0, passes.output);
  assert.match(passes.output, /^ℹ tests 2\n.*\nℹ pass 2\nℹ fail 0$/m);
  const { code, output } = await suite({ a: shares, b: shares, c: `${shares}${rest}` }, one);
  assert.equal(code, 1, output);
  assert.match(output, /^ℹ tests 5\n.*\nℹ pass 2\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1$/m);
  assert.match(output, /^\s+\d+\.\d s {2}.*c\.test\.mjs/m);
  assert.match(output, /c\.test\.mjs failed beside other tests, and failed alone/);
});

test("a file of one process that ends it is a failure", async () => {
  const { code, output } = await suite({ a: "process.exit(3);", b: PASSES }, { isolation: false });
  assert.equal(code, 1, output);
});

test("a file that fails twice is a failure", async () => {
  const { code, output } = await suite({ a: PASSES, b: FAILS });
  assert.equal(code, 1, output);
  assert.match(output, /^ℹ pass 1\nℹ fail 1$/m);
  // It is named once more at the end, with its reason.
  assert.match(output, /ℹ todo 0\n[\s\S]*✖ Suite, one: .*b\.test\.mjs: fails[^\n]*\n +no\n/);
});

test("a file that passes alone is named, and stays a failure", async () => {
  const { code, output } = await suite({ a: failsOnce(), b: PASSES });
  assert.equal(code, 1, output);
  assert.match(output, /✖ fails once/);
  assert.match(output, /a\.test\.mjs failed beside other tests, and passed alone/);
  assert.match(output, /^ℹ pass 1\nℹ fail 1$/m);
});

test("more failed files than a busy machine explains are failures at once", async () => {
  const { code, output } = await suite({
    a: failsOnce(),
    b: failsOnce(),
    c: failsOnce(),
    d: failsOnce(),
  });
  assert.equal(code, 1, output);
  assert.match(output, /^ℹ fail 4$/m);
  assert.doesNotMatch(output, / alone$/m);
});

test("a file that ends its process fails", async () => {
  const { code, output } = await suite({ a: "process.exit(3);", b: PASSES });
  assert.equal(code, 1, output);
  assert.ok(existsSync(join(folder, "results")));
});

test("the files that `npm test` begins first are there", () => {
  const source = readFileSync(join(ROOT, "scripts/test.mjs"), "utf8");
  const files = [...source.matchAll(/"(tests\/\S+\.test\.mjs)"/g)].map(([, path]) => path);
  assert.ok(files.length > 0);
  assert.deepEqual(
    files.filter((path) => !existsSync(join(ROOT, path))),
    [],
  );
});
