// The invariants of ARCHITECTURE.md that can be seen in the sources.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";

/** Rust files below a folder, without their unit tests: `{ path, text }`. */
function sources(folder) {
  const files = readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => name.endsWith(".rs") && !/(^|\/)tests(\.rs$|\/)/.test(name))
    .map((name) => ({
      path: join(folder, name),
      text: readFileSync(join(ROOT, folder, name), "utf8").split("#[cfg(test)]\nmod tests")[0],
    }));
  assert.ok(files.length > 0, folder);
  return files;
}

/** Lines of the files that match, as `path:line text`; comments do not count. */
function matches(files, pattern) {
  return files.flatMap(({ path, text }) =>
    text
      .split("\n")
      .map((line, index) => [line.replace(/\/\/.*$/, ""), `${path}:${index + 1} ${line.trim()}`])
      .filter(([code]) => pattern.test(code))
      .map(([, where]) => where),
  );
}

test("nothing outside src/ names the runtime", () => {
  for (const folder of ["core/src", "cli/src", "sim/src"]) {
    assert.deepEqual(
      matches(sources(folder), /\b(worker|js_sys|web_sys|wasm_bindgen)::/),
      [],
      folder,
    );
  }
  const manifest = readFileSync(join(ROOT, "core/Cargo.toml"), "utf8");
  assert.doesNotMatch(manifest, /^(worker|js-sys|web-sys|wasm-bindgen|getrandom|tokio|clawfront)/m);
});

test("core has no clock and no randomness", () => {
  assert.deepEqual(
    matches(sources("core/src"), /SystemTime|Instant|getrandom|std::(net|fs|env|thread)/),
    [],
  );
});

test("openai/ and gateway/ do not name each other", () => {
  assert.deepEqual(matches(sources("core/src/openai"), /\bgateway::|crate::gateway/), []);
  assert.deepEqual(matches(sources("core/src/gateway"), /openai|sse::/), []);
});

test("only sse writes events, and only error knows a failure's status", () => {
  const core = sources("core/src");
  assert.deepEqual(
    matches(core, /b?"data: /).filter((where) => !where.startsWith("core/src/http/sse.rs")),
    [],
  );
  const statuses = matches(
    core,
    /\b(400|401|403|404|405|408|409|413|415|422|429|499|500|502|503|504)\b(?!_)\s*[,;)]/,
  ).filter((where) => !/^core\/src\/openai\/error\/|const NOT_READY_STATUS/.test(where));
  assert.deepEqual(statuses, []);
});

test("no frame and no request is built into a tree of values", () => {
  for (const folder of ["core/src", "src"])
    assert.deepEqual(matches(sources(folder), /serde_json::Value|json!\(/), [], folder);
});

test("no type that holds a secret can be printed, serialised or compared", () => {
  for (const [file, name] of [
    ["core/src/secret.rs", "Secret"],
    ["core/src/secret.rs", "Digest"],
    ["core/src/gateway/device.rs", "DeviceKey"],
    ["core/src/access/key.rs", "NewKey"],
  ]) {
    const text = readFileSync(join(ROOT, file), "utf8");
    const derives = text.match(new RegExp(`((?:#\\[derive\\(.*\\)\\]\\n)?)pub struct ${name}\\b`));
    assert.ok(derives, `${file} has no ${name}`);
    assert.doesNotMatch(derives[1], /Debug|Serialize|PartialEq|Hash/, name);
    assert.doesNotMatch(
      text,
      new RegExp(`impl (fmt::Display|PartialEq|Serialize) for ${name}\\b`),
      name,
    );
  }
});

test("the lints that keep panics out are on, for every crate", () => {
  const workspace = readFileSync(join(ROOT, "Cargo.toml"), "utf8");
  for (const lint of [
    "unwrap_used",
    "expect_used",
    "panic",
    "indexing_slicing",
    "string_slice",
    "arithmetic_side_effects",
    "unreachable",
    "todo",
  ]) {
    assert.match(workspace, new RegExp(`^${lint} = "deny"$`, "m"));
  }
  assert.match(workspace, /^unsafe_code = "forbid"$/m);
  for (const crate of ["Cargo.toml", "core/Cargo.toml", "cli/Cargo.toml", "sim/Cargo.toml"]) {
    assert.match(readFileSync(join(ROOT, crate), "utf8"), /^\[lints\]\nworkspace = true$/m, crate);
  }
});

test("every code that a client can get is in docs/errors.md", () => {
  const codes = ["mod", "deadline", "provider"].flatMap((name) => {
    const text = readFileSync(join(ROOT, `core/src/failure/${name}.rs`), "utf8");
    const [, table] = text.match(/pub fn code\(&?self\)(.*?)\n {4}\}\n/s);
    return [...table.matchAll(/=> "([a-z_]+)"/g)].map(([, code]) => code);
  });
  assert.ok(codes.length >= 30, `${codes.length} codes found`);
  const document = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
  // No client receives that code, because its client has left.
  assert.deepEqual(
    codes.filter((code) => code !== "client_closed_request" && !document.includes(`\`${code}\``)),
    [],
  );
});
