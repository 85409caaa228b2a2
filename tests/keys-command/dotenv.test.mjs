// Tests that wrangler reads the dotenv files that `clawfront keys` writes.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { BUILD, ROOT } from "../../scripts/paths.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";
import { findNode } from "../../scripts/setup.mjs";
import { WRANGLER, wranglerEnv } from "../support/cloudflare.mjs";
import { parseAsWrangler } from "../support/dotenv.mjs";
import { json, keys, LABEL, own } from "../support/keys-command.mjs";

describe("dotenv files", () => {
  test("whatever is in them, wrangler reads the list that was meant and all else as before", async () => {
    const cwd = own("dotenv");
    const labels = [
      "plain",
      "Anna's phone",
      "back`tick",
      "a # b",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a label as it is, dollar and all.
      "$HOME ${x}",
      "ends in \\",
      "new\\nline",
      "é ü 電話",
      "it's `this`",
    ];
    const files = [
      "",
      "A=1",
      "A=1\r\nB='x\r\ny'\r\n",
      "\ufeffA=1\n",
      "CLIENT_KEYS=\nA=1\n",
      "export CLIENT_KEYS=''\n",
      'CLIENT_KEYS=""  # none\nA="q\\nr"\n',
      "A='open\nB=1\n",
      "A: 1\nCLIENT_KEYS:  \n",
      "A=`x`\n#CLIENT_KEYS=old\nB=\n",
    ];
    for (const text of files) {
      const path = join(cwd, "case.vars");
      writeFileSync(path, text);
      const entries = [];
      for (const [index, label] of labels.entries()) {
        const args = [
          "new",
          "--id",
          `k${index}`,
          "--agents",
          "main",
          "--label",
          label,
          "--apply",
          "--file",
          "case.vars",
        ];
        const { code, stdout, stderr } = await keys([...args, "--json"], { cwd });
        if (label.includes("`") && entries.length > 0 && code === 1) {
          // Of the three quotes one must not occur in the list.
          assert.match(stderr, /no quotes are left/);
          continue;
        }
        assert.equal(code, 0, stderr);
        entries.push(JSON.parse(stdout).entry);
        const { CLIENT_KEYS, ...others } = parseAsWrangler(readFileSync(path));
        const { CLIENT_KEYS: _, ...before } = parseAsWrangler(text);
        assert.equal(CLIENT_KEYS, entries.join("\n"), JSON.stringify(text));
        assert.deepEqual(others, before, JSON.stringify(text));
      }
      assert.ok(entries.length >= labels.length - 2);
    }
  });

  test("wrangler dev reads the written file", async () => {
    const cwd = own("dev");
    writeFileSync(join(cwd, ".dev.vars"), "GATEWAY_URL=ws://127.0.0.1:1\nGATEWAY_TOKEN='x'\n");
    const phone = await json(
      ["new", "--id", "phone", "--agents", "main", "--label", LABEL, "--apply"],
      { cwd },
    );
    const bot = await json(
      ["new", "--id", "bot", "--agents", "main", "--label", "a  b", "--apply"],
      { cwd },
    );
    const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
    // The Worker is built already; its configuration's build would run here again.
    const config = toml
      .replace(/^main = .*$/m, `main = ${JSON.stringify(join(BUILD, "index.js"))}`)
      .replace(/^directory = .*$/m, `directory = ${JSON.stringify(join(ROOT, "assets"))}`)
      .replace(/^\[build\]\n(?:[^[\n].*\n)*/m, "");
    assert.doesNotMatch(config, /npm run build/);
    writeFileSync(join(cwd, "wrangler.toml"), config);
    const child = start(
      findNode(),
      [
        join(WRANGLER, "bin/wrangler.js"),
        "dev",
        "--ip",
        "127.0.0.1",
        "--port",
        "0",
        "--inspector-port",
        "0",
        "--show-interactive-dev-session=false",
      ],
      {
        cwd,
        env: { ...process.env, ...wranglerEnv(cwd), CLOUDFLARE_CF_FETCH_ENABLED: "false" },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    try {
      const output = [];
      const url = await Promise.race([
        new Promise((resolve) => {
          const take = (line) => {
            output.push(line);
            if (line.includes("Ready on ")) resolve(line.match(/http:\/\/\S+/)[0]);
          };
          collect(child.stdout, take);
          collect(child.stderr, take);
        }),
        child.ended,
      ]);
      assert.equal(typeof url, "string", output.join("\n"));
      for (const [key, label] of [
        [phone.key, LABEL],
        [bot.key, "a  b"],
      ]) {
        const response = await fetch(`${url}/v1/key`, {
          headers: { authorization: `Bearer ${key}` },
        });
        assert.equal((await response.json()).label, label, output.join("\n"));
      }
    } finally {
      await stop(child);
    }
  });
});
