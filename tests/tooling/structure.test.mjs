// Keeps the order of files: no circle, and no arrow upward. The arrows are computed from the
// sources.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { CRATES, circles, javaScriptArrows, rustArrows } from "./arrows.mjs";

/** One file of each circle that is there today. It leaves this list with its circle. */
const KNOWN_CIRCLES = [];

/** Arrows upward that are there today, as `from → to`. Like the circles, they only leave. */
const KNOWN_UPWARD = [];

/**
 * The rooms of core from the ground up: a file names rooms of its own row and of the rows above it
 * in this list. Rooms in a row beside each other do not name each other.
 */
const CORE_ROWS = [
  ["failure", "secret", "agent", "parse"],
  ["access"],
  ["session"],
  ["turn"],
  ["kept"],
  ["http"],
  ["file"],
  ["openai", "gateway", "admin"],
  ["repeat", "agent_cache", "log_key"],
  ["config"],
  ["exchange"],
  ["hub", "account"],
  ["log"],
];

/** The crates that a crate may name besides itself. */
const CRATE_ARROWS = {
  clawfront: ["clawfront_core"],
  clawfront_core: [],
  clawfront_cli: ["clawfront_core"],
  clawfront_sim: ["clawfront_core"],
  clawfront_cases: ["clawfront_core"],
  clawfront_guest: ["clawfront_core", "clawfront_cases"],
  clawfront_fuzz: ["clawfront_core"],
};

/**
 * The rooms of JavaScript from the ground up, the first one that matches. A file that
 * package.json runs is a command: it may name any room.
 */
const JAVASCRIPT_ROWS = [
  { name: "the Worker's modules", files: /^src\// },
  { name: "scripts", files: /^scripts\// },
  { name: "the npm package", files: /^(package|deploy)\// },
  { name: "the real gateway", files: /^openclaw\// },
  {
    name: "support of tests",
    files: /^tests\/(support|clients\/(?!.*\.test\.)|tooling\/(?!.*\.test\.))/,
  },
  { name: "bench and soak", files: /^(bench|soak|fuzz)\// },
  { name: "tests", files: /^tests\// },
];

const rust = rustArrows();
const javaScript = javaScriptArrows();

test("the arrows are read from the sources", () => {
  assert.ok(rust.get("core/src/openai/models.rs").has("core/src/agent.rs"));
  assert.ok(rust.get("src/lib.rs").size > 0);
  assert.ok(javaScript.get("scripts/test.mjs").has("scripts/steps.mjs"));
  const arrows = new Map([
    ["a", new Set(["b"])],
    ["b", new Set(["c"])],
    ["c", new Set(["b"])],
  ]);
  assert.deepEqual(circles(arrows), [["b", "c"]]);
});

test("no file is in a circle", () => {
  const all = [...circles(rust), ...circles(javaScript)];
  const fresh = all.filter((circle) => !circle.some((file) => KNOWN_CIRCLES.includes(file)));
  assert.deepEqual(fresh, [], "these files name each other, directly or through others");
  const gone = KNOWN_CIRCLES.filter((file) => !all.flat().includes(file));
  assert.deepEqual(gone, [], "these files are in no circle: take them from KNOWN_CIRCLES");
});

describe("no arrow leads upward", () => {
  test("between crates", () => {
    const crateOf = (path) =>
      Object.keys(CRATES).find((crate) => path.startsWith(`${CRATES[crate]}/`));
    assert.deepEqual(Object.keys(CRATE_ARROWS).sort(), Object.keys(CRATES).sort());
    const wrong = arrowsOf(rust).filter(([from, to]) => {
      const [crate, other] = [crateOf(from), crateOf(to)];
      return crate !== other && !CRATE_ARROWS[crate].includes(other);
    });
    assert.deepEqual(wrong.map(shown), []);
  });

  test("in core", () => {
    const rowOf = (room) => CORE_ROWS.findIndex((row) => row.includes(room));
    const wrong = arrowsOf(rust)
      .filter(([from, to]) => roomOf(from) && roomOf(to) && roomOf(from) !== roomOf(to))
      .filter(([from, to]) => rowOf(roomOf(from)) <= rowOf(roomOf(to)))
      .map(shown);
    assert.deepEqual(wrong.sort(), [...KNOWN_UPWARD].sort());
  });

  test("every room of core has its row", () => {
    const rooms = new Set([...rust.keys()].map(roomOf).filter(Boolean));
    assert.deepEqual([...rooms].sort(), CORE_ROWS.flat().sort());
  });

  test("in JavaScript", () => {
    const commands = commandFiles();
    assert.ok(commands.includes("scripts/test.mjs"), commands.join());
    const rowOf = (path) => JAVASCRIPT_ROWS.findIndex(({ files }) => files.test(path));
    const wrong = arrowsOf(javaScript).filter(
      ([from, to]) => !commands.includes(from) && rowOf(from) < rowOf(to),
    );
    assert.deepEqual(wrong.map(shown), []);
  });
});

const shown = ([from, to]) => `${from} → ${to}`;

const arrowsOf = (arrows) =>
  [...arrows].flatMap(([from, targets]) => [...targets].map((to) => [from, to]));

/**
 * Returns the room of a file of core, `undefined` for lib.rs and for a file that only tests
 * compile.
 */
function roomOf(path) {
  const [, room] = path.match(/^core\/src\/(\w+)(?:\/|\.rs$)/) ?? [];
  return ["lib", "documented"].includes(room) ? undefined : room;
}

/** Returns the files that package.json runs. */
function commandFiles() {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return [...new Set(Object.values(scripts).flatMap((line) => line.match(/[\w/]+\.mjs/g) ?? []))];
}
