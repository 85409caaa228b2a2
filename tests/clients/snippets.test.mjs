// Tests that the snippets of docs/clients.md work when they are pasted, and that its table names
// the versions that are tested.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CLIENTS } from "../../scripts/clients.mjs";
import { ROOT } from "../../scripts/paths.mjs";
import { run } from "../../scripts/processes.mjs";
import { PYTHON, pythonEnvironment } from "../../scripts/python.mjs";
import { startClientFront } from "../support/clients.mjs";
import { eventsOf, post, says, textOf } from "../support/front.mjs";
import { servePage } from "../support/page.mjs";

const DOCUMENT = readFileSync(join(ROOT, "docs/clients.md"), "utf8");
/** Fenced code with the heading that it stands under: `{ title, language, code }`. */
const SNIPPETS = DOCUMENT.split(/^## /m)
  .slice(1)
  .flatMap((section) => {
    const title = section.slice(0, section.indexOf("\n"));
    return [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(
      ([, language, code], index) => ({
        title: `${title}, ${index + 1}`,
        language,
        code,
      }),
    );
  });

describe("docs/clients.md", { concurrency: 2 }, () => {
  let front, page, folder, answer;
  before(async () => {
    page = await servePage();
    front = await startClientFront({ origin: page.origin });
    answer = (await (await post(front.worker, front.phone, says("hello"))).json()).choices[0]
      .message.content;
    assert.ok(answer.length > 40, answer);
    // Where a snippet finds its packages.
    folder = mkdtempSync(join(CLIENTS, "node_modules/.snippets-"));
  });
  after(async () => {
    await page?.close();
    await front?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  test("has a snippet for each language and client", () => {
    assert.deepEqual(
      SNIPPETS.map(({ title, language }) => `${title} ${language}`),
      [
        "curl, 1 sh",
        "openai-python, 1 python",
        "openai-python, 2 python",
        "openai-node, 1 js",
        "openai-node, 2 js",
        "AI SDK, 1 js",
        "AI SDK, 2 js",
        "LangChain, 1 js",
        "LangChain, 2 python",
      ],
    );
  });

  for (const [index, { title, language, code }] of SNIPPETS.entries()) {
    test(`${title} works as it stands`, async () => {
      const settings = { OPENAI_BASE_URL: front.baseURL, OPENAI_API_KEY: front.phone.key };
      const env = { ...pythonEnvironment(), ...settings };
      const file = (extension) => {
        const path = join(folder, `${index}.${extension}`);
        writeFileSync(path, code);
        return path;
      };
      let output;
      if (code.includes("document.body")) {
        output = await page.show(file("mjs"), {
          OPENAI_BASE_URL: front.baseURL,
          OPENAI_API_KEY: front.page.key,
        });
      } else if (language === "js") {
        output = await run(process.execPath, [file("mjs")], { env });
      } else if (language === "python") {
        output = await run(PYTHON, [file("py")], { env });
      } else {
        output = textOf(eventsOf(await run("bash", ["-euo", "pipefail", file("sh")], { env })));
      }
      assert.equal(output.trim(), answer.trim());
    });
  }

  test("names the versions that are tested", () => {
    const lock = JSON.parse(readFileSync(join(CLIENTS, "package-lock.json"), "utf8"));
    const root = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
    const python = readFileSync(join(CLIENTS, "requirements.txt"), "utf8");
    const named = [
      ...DOCUMENT.matchAll(/(?:`([@\w/-]+)`|(httpx-sse|eventsource-parser)) (\d+\.\d+\.\d+)/g),
    ].map(([, quoted, plain, version]) => [quoted ?? plain, version]);
    assert.ok(named.length >= 11, `${named.length} versions found`);
    for (const [name, version] of named) {
      const tested = [
        lock.packages[`node_modules/${name}`]?.version,
        root.packages[`node_modules/${name}`]?.version,
        python.match(new RegExp(`^${name}==([\\d.]+)`, "m"))?.[1],
      ];
      assert.ok(tested.includes(version), `${name} ${version}; tested are ${tested}`);
    }
    const rows = DOCUMENT.split("## Tested clients\n")[1]
      .split("\n## ")[0]
      .match(/^\| [^-].*\|$/gm)
      .slice(1);
    assert.equal(rows.length, 13);
    for (const row of rows) {
      const [, client, version] = row.split("|").map((cell) => cell.trim());
      for (const number of version.match(/\d+\.\d+\.\d+/g) ?? [])
        assert.ok(
          named.some(([, tested]) => tested === number),
          `${client} ${number}`,
        );
    }
    assert.match(
      DOCUMENT,
      new RegExp(
        `Chromium ${lock.packages["node_modules/@sparticuz/chromium"].version.split(".")[0]} `,
      ),
    );
    // The suites import the SDK from one place, the rest of the tests from another.
    assert.equal(
      lock.packages["node_modules/openai"].version,
      root.packages["node_modules/openai"].version,
    );
  });
});
