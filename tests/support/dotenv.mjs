// Takes wrangler's own reader of dotenv files out of its bundle: it decides how `.dev.vars` is read.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WRANGLER } from "./cloudflare.mjs";

/** dotenv's `parse`, as wrangler bundles it. */
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
