// Tests links to files of a real agent: the bytes that its gateway hands out, and those that it
// does not.

import assert from "node:assert/strict";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { newKey, sdk } from "../support/front.mjs";
import { protocol, version } from "../support/openclaw.mjs";
import { PIXEL, steps } from "../support/prompts.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";

const KEYS_SECRET = "0123456789abcdef0123456789abcdef";
const WITHOUT_LINKS = "The agent produced 1 file, which this API cannot deliver.";

describe(`files of OpenClaw ${version}`, () => {
  const key = newKey("phone", "main");
  let front;
  let workspace;
  before(async () => {
    front = await sharedFront({ entries: [key.entry], vars: { KEYS_SECRET } });
    workspace = join(front.workspaces, "main");
    writeFileSync(join(workspace, "red.png"), Buffer.from(PIXEL, "base64"));
    writeFileSync(join(workspace, "note.txt"), "line one\n");
    writeFileSync(join(workspace, "page.html"), "<script>alert(1)</script>");
    symlinkSync("/etc/hostname", join(workspace, "outside.txt"));
  });
  after(() => front?.stop());

  const answer = async (text, fields = {}) => {
    const messages = fields.messages ?? [{ role: "user", content: steps({ text }) }];
    const asked = sdk(front.worker, key).chat.completions.create({
      ...{ model: "openclaw", ...fields, messages },
    });
    const { data, response } = await asked.withResponse();
    const { content } = data.choices[0].message;
    const urls = [...content.matchAll(/\]\((\S+?)\)/g)].map(([, url]) => url);
    return { content, urls, memory: response.headers.get("x-clawfront-memory") };
  };

  if (protocol === 3) {
    test("OpenClaw 2026.3 has no way to hand out a file", async () => {
      const { content } = await answer(`MEDIA:${join(workspace, "red.png")}`);
      assert.equal(content, WITHOUT_LINKS);
    });
    return;
  }

  test("an image of the workspace opens, by an absolute path and a relative one", async () => {
    const path = join(workspace, "red.png");
    const { content, urls } = await answer(`Here.\n\nMEDIA:${path}\nMEDIA:./note.txt`);
    assert.equal(content, `Here.\n\n![red.png](${urls[0]})\n\n[note.txt](${urls[1]})`);
    const image = await fetch(urls[0]);
    assert.equal(image.headers.get("content-type"), "image/png");
    assert.deepEqual(Buffer.from(await image.arrayBuffer()), Buffer.from(PIXEL, "base64"));
    const part = await fetch(urls[0], { headers: { range: "bytes=1-3" } });
    assert.deepEqual([part.status, await part.text()], [206, "PNG"]);
    const note = await fetch(urls[1]);
    assert.match(note.headers.get("content-disposition"), /^attachment; /);
    assert.equal(await note.text(), "line one\n");
    const id = new URL(urls[1]).pathname.split("/")[3];
    const file = await sdk(front.worker, key).files.retrieve(id);
    assert.deepEqual([file.filename, file.bytes], ["note.txt", 9]);
  });

  test("a page is saved, not shown", async () => {
    const { urls } = await answer(`MEDIA:${join(workspace, "page.html")}`);
    const { headers } = await fetch(urls[0]);
    assert.equal(headers.get("content-type"), "application/octet-stream");
    assert.match(headers.get("content-disposition"), /^attachment; /);
  });

  test("what the gateway does not hand out is 404", async () => {
    const outside = ["/etc/hostname", join(workspace, "outside.txt"), "../../../etc/hostname"];
    const { urls } = await answer(
      [...outside, join(workspace, "none.png")].map((path) => `MEDIA:${path}`).join("\n"),
    );
    assert.ok(urls.length >= 3, String(urls.length));
    for (const url of urls) {
      const response = await fetch(url);
      const { error } = await response.json();
      assert.deepEqual([response.status, error.code], [404, "file_not_found"]);
    }
  });

  test("the session goes on after an answer with files, and after one of files alone", async () => {
    const path = join(workspace, "red.png");
    for (const [user, text] of [
      ["with", `Here.\n\nMEDIA:${path}`],
      ["alone", `MEDIA:${path}`],
      ["elsewhere", "Here.\n\nMEDIA:https://files.example/a.png"],
      ["many", Array.from({ length: 17 }, (_, index) => `MEDIA:./${index}.png`).join("\n")],
    ]) {
      const first = { role: "user", content: steps({ text }) };
      const { content } = await answer("", { user, messages: [first] });
      const { memory } = await answer("", {
        user,
        messages: [
          first,
          { role: "assistant", content },
          { role: "user", content: steps({ text: "And on." }) },
        ],
      });
      assert.equal(memory, "continued", user);
    }
  });
});
