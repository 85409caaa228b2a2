// A command refuses a file system that clearly has too little room, before it begins.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensureRoom, needsOfStart, needsOfTests, problemOf } from "../../scripts/needs.mjs";
import { byFileSystem, roomiest, roomOf } from "../../scripts/space.mjs";

const GB = 1_000_000_000;
const NEEDS = [
  { name: "npm packages", megabytes: 700 },
  { name: "Worker", megabytes: 300 },
];

test("too little room is named with the sizes and a fix", () => {
  assert.deepEqual(problemOf({ folder: "/small", freeBytes: 0.3 * GB, needs: NEEDS }), {
    message:
      "The file system of /small has 0.3 GB free, and this needs 1.0 GB (npm packages 700 MB, Worker 300 MB).",
    fix: "free 0.7 GB there, or move the checkout to a larger file system.",
  });
});

test("room that is a little less than what was measured is not refused", () => {
  assert.notEqual(problemOf({ folder: "/", freeBytes: 0.79 * GB, needs: NEEDS }), undefined);
  assert.equal(problemOf({ folder: "/", freeBytes: 0.8 * GB, needs: NEEDS }), undefined);
  assert.equal(problemOf({ folder: "/", freeBytes: 0, needs: [] }), undefined);
});

test("only what is not there yet needs room", () => {
  const folder = mkdtempSync(join(tmpdir(), "clawfront-space-"));
  try {
    const huge = { name: "all of it", megabytes: 1e12 };
    ensureRoom([{ ...huge, made: folder }]);
    assert.throws(() => ensureRoom([{ ...huge, made: join(folder, "a/b") }]), {
      message: new RegExp(`^The file system of ${folder} has \\d+\\.\\d GB free, and this needs`),
      fix: /^free \d+\.\d GB there, or move the checkout/,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("each part of the tests and each version needs room of its own", () => {
  const sum = (needs) => needs.reduce((total, { megabytes }) => total + megabytes, 0);
  const versions = ["1", "2"];
  const [native, fast, all] = [["native"], ["native", "e2e"], ["native", "e2e", "openclaw"]].map(
    (parts) => sum(needsOfTests(new Set(parts), versions)),
  );
  assert.ok(native < fast && fast < all, [native, fast, all].join(" "));
  assert.ok(sum(needsOfStart(undefined)) < sum(needsOfStart("1")));
  assert.ok(sum(needsOfStart("1")) < all);
});

test("the folder with the most room is taken, the first of equals", () => {
  assert.equal(roomiest([tmpdir(), tmpdir()]), tmpdir());
  const { freeBytes, totalBytes } = roomOf(join(tmpdir(), "not/there/yet"));
  assert.ok(freeBytes > 0 && freeBytes <= totalBytes);
  assert.deepEqual(byFileSystem([tmpdir(), join(tmpdir(), "not/there")]).length, 1);
});
