// Tests that no session of one key can be reached with another.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { collect, newKey, post, says, sdk } from "../support/front.mjs";
import { frontWith, keyWith, lineOf } from "../support/keys.mjs";

describe("conversations of chat UIs", () => {
  const ui = keyWith("ui", "main", "conversations=X-OpenWebUI-Chat-Id,x-session-id");
  const inline = keyWith("inline", "main", "conversations=x-openwebui-chat-id tasks=inline");
  const plain = newKey("plain", "main");
  let front;
  before(
    async () =>
      (front = await frontWith([ui, inline, plain], { simArgs: ["--default-agent", "main"] })),
  );
  after(() => front.stop());

  const TITLE =
    "### Task:\nGenerate a concise, 3-5 word title summarizing the chat history.\n<chat_history>\nUSER: hi\n</chat_history> [[fake echo=1]]";

  /** The session that a request ran in. */
  async function session(key, headers, body = says("[[fake echo=1]]")) {
    const response = await post(front.worker, key, body, { headers });
    assert.equal(response.status, 200, await response.clone().text());
    return {
      response,
      key: JSON.parse((await response.json()).choices[0].message.content).sessionKey,
    };
  }

  test("a conversation's header names a session of the key that lists it, and of no other", async () => {
    const chat = { "x-openwebui-chat-id": "7f3c-1" };
    assert.equal(
      (await session(ui, chat)).key,
      "agent:main:edge:ui:chat:x-openwebui-chat-id:=7f3c-1",
    );
    assert.equal(
      (await session(ui, { ...chat, "x-session-id": "s" })).key,
      "agent:main:edge:ui:chat:x-openwebui-chat-id:=7f3c-1",
    );
    assert.equal(
      (await session(ui, { "x-session-id": "s" })).key,
      "agent:main:edge:ui:chat:x-session-id:=s",
    );
    assert.equal(
      (await session(ui, { ...chat, "x-openclaw-session-key": "trip" })).key,
      "agent:main:edge:ui:key:=trip",
    );
    assert.equal(
      (await session(ui, chat, says("[[fake echo=1]]", { user: "anna" }))).key,
      "agent:main:edge:ui:chat:x-openwebui-chat-id:=7f3c-1",
    );
    assert.match(
      (await session(ui, { "x-session-id": "agent:main:main" })).key,
      /^agent:main:edge:ui:chat:x-session-id:~[0-9a-f]{64}$/,
    );
    assert.match((await session(plain, chat)).key, /^agent:main:edge:plain:run:[0-9a-f]{32}$/);
  });

  test("a chat UI's own call leaves no trace in the conversation, and the log says so", async () => {
    const chat = { "x-openwebui-chat-id": "7f3c-1" };
    const title = await session(ui, chat, says(TITLE));
    assert.match(title.key, /^agent:main:edge:ui:run:[0-9a-f]{32}$/);
    assert.equal((await lineOf(front.worker, title.response)).aside, true);
    assert.equal(
      (await session(inline, chat, says(TITLE))).key,
      "agent:main:edge:inline:chat:x-openwebui-chat-id:=7f3c-1",
    );
    const said = await session(ui, chat);
    assert.equal((await lineOf(front.worker, said.response)).aside, undefined);
  });
});

for (const protocol of [4, 3]) {
  test(`two keys never meet in a session, whatever they send, protocol ${protocol}`, async () => {
    const a = newKey("a", "main");
    const b = newKey("b", "main");
    const front = await frontWith([a, b], { protocol, simArgs: ["--default-agent", "main"] });
    try {
      const session = async (key, headers, user) => {
        const response = await post(front.worker, key, says("[[fake echo=1]]", { user }), {
          headers,
        });
        return response.status === 200
          ? JSON.parse((await response.json()).choices[0].message.content).sessionKey
          : response.status;
      };
      const mine = await session(a, { "x-openclaw-session-key": "trip" });
      assert.equal(mine, "agent:main:edge:a:key:=trip");
      for (const name of [
        mine,
        mine.toUpperCase(),
        "trip",
        "edge:a:key:=trip",
        "../a/trip",
        "agent:main:main",
        "a:key:=trip",
        "x".repeat(1024),
        "%00",
        "😀",
      ]) {
        for (const [headers, user] of [
          [{ "x-openclaw-session-key": Buffer.from(name).toString("latin1") }, undefined],
          [{}, name],
        ]) {
          const theirs = await session(b, headers, user);
          assert.ok(
            typeof theirs === "string" && theirs.startsWith("agent:main:edge:b:"),
            `${name}: ${theirs}`,
          );
        }
      }
      assert.equal(await session(b, { "x-openclaw-session-key": "x".repeat(1025) }), 400);
      // All sequences of bytes that are not UTF-8 would be one name.
      assert.equal(await session(b, { "x-openclaw-session-key": "caf\xe9" }), 400);
      const seen = await collect(
        await sdk(front.worker, a).chat.completions.create(
          says("hi [[fake deltas=2]]", { stream: true }),
        ),
      );
      assert.equal(seen.text, "w0 w1");
    } finally {
      await front.stop();
    }
  });
}
