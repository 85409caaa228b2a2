// Tests that the readers of `.dev.vars` agree: wrangler's, the package dotenv that the scripts use,
// and that of the command line, which has the same cases in `cli/src/keys/dotenv.rs`.
//
// There are two readers of ours. The command line changes one value and keeps every other byte,
// which no package does, and it does so without Node. `npm start` reads the file while the command
// line is still being built.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import dotenv from "dotenv";
import { ROOT } from "../../scripts/paths.mjs";
import { parseAsWrangler } from "../support/dotenv.mjs";

const CASES = JSON.parse(readFileSync(join(ROOT, "tests/recorded/dotenv.json"), "utf8"));

describe("a dotenv file", () => {
  for (const [reader, parse] of [
    ["wrangler", parseAsWrangler],
    ["the package dotenv", dotenv.parse],
  ])
    for (const [text, variables] of CASES)
      test(`is read by ${reader} as in the table: ${JSON.stringify(text)}`, () => {
        // Of variables with one name the last one counts. wrangler reads bytes.
        assert.deepEqual({ ...parse(Buffer.from(text)) }, Object.fromEntries(variables));
      });
});
