// The settings of `clawfront serve`, and the reach of its addresses.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { reachOf } from "../../package/address.mjs";
import { NAMES, readSettings } from "../../package/settings.mjs";
import { ROOT } from "../../scripts/paths.mjs";
import { temporaryFolder } from "../support/folder.mjs";

const folder = temporaryFolder("settings");

test("every text of the Worker is a setting", () => {
  const source = readFileSync(join(ROOT, "core/src/config.rs"), "utf8");
  const [, list] = source.match(/pub const TEXTS: \[&str; \d+\] = \[([\s\S]*?)\];/);
  const texts = list.match(/\w+/g).map((name) => {
    const [, value] = source.match(new RegExp(`pub const ${name}: &str = "(\\w+)";`));
    return value;
  });
  const [, first, last] = source.match(/MORE_CLIENT_KEYS: .* = (\d)\.\.=(\d);/);
  const more = [];
  for (let number = Number(first); number <= Number(last); number += 1)
    more.push(`CLIENT_KEYS_${number}`);
  assert.deepEqual(NAMES, [...texts, "CLIENT_KEYS", ...more]);
});

test("the environment takes precedence, and other names are left out", () => {
  const file = join(folder, "vars");
  writeFileSync(file, "GATEWAY_URL='ws://a'\nLINK_IDLE=\nOTHER=1\nCLIENT_KEYS='a\nb'\n");
  assert.deepEqual(readSettings(file, {}), { GATEWAY_URL: "ws://a", CLIENT_KEYS: "a\nb" });
  assert.deepEqual(readSettings(file, { GATEWAY_URL: "ws://b", PATH: "/bin" }), {
    GATEWAY_URL: "ws://b",
    CLIENT_KEYS: "a\nb",
  });
  assert.throws(() => readSettings(join(folder, "none"), {}), /Neither .*none nor the environment/);
});

test("the reach of an address", () => {
  const cases = {
    machine: ["localhost", "127.0.0.1", "127.8.8.8", "::1"],
    network: ["10.1.2.3", "172.31.0.1", "192.168.1.5", "100.64.0.1", "169.254.1.1", "fd00::1"],
    all: ["0.0.0.0", "::", "203.0.113.1", "172.32.0.1", "100.128.0.1", "2001:db8::1"],
  };
  for (const [reach, hosts] of Object.entries(cases))
    for (const host of hosts) assert.equal(reachOf(host), reach, host);
  assert.throws(() => reachOf("example.com"), /is not an address/);
});
