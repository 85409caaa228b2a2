// Takes the reader of dotenv files out of wrangler's bundle.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WRANGLER } from "./cloudflare.mjs";

/** The `parse` of dotenv in wrangler's bundle, which decides how `.dev.vars` is read. */
export const parseAsWrangler = (() => {
  const source = readFileSync(join(WRANGLER, "wrangler-dist/cli.js"), "utf8");
  const from = source.indexOf("var LINE = /(?:^|^)\\s*(?:export");
  const to = source.indexOf("__name(", from);
  assert.ok(
    from > 0 && to > from,
    "wrangler's reader of dotenv files has changed: compare it with cli/src/keys/dotenv.rs",
  );
  const name = source.slice(from, to).match(/function (\w+)\(/)[1];
  return new Function(`${source.slice(from, to)}; return ${name};`)();
})();
