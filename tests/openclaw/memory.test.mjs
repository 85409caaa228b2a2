// Tests what the model of a real OpenClaw gateway sees of a conversation in a session that lasts.
// Protocol 4: each text once, none missing, none of another conversation. Protocol 3 cannot begin a
// session again, so there the model also sees what the session held before.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { newKey, post, until } from "../support/front.mjs";
import { call, listSessions, protocol, resetSession, version } from "../support/openclaw.mjs";
import { fileOf, framed, PIXEL, steps } from "../support/prompts.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";

const encoded = (text) => Buffer.from(text).toString("base64url");
const answerTo = (name) => `This is the answer to the question ${name}.`;

/** Returns a user's question. The scripted model answers it with `answerTo(name)`. */
const asks = (name, script = "") => ({
  role: "user",
  content: `${name} [[fake text=${encoded(answerTo(name))}${script}]]`,
});
/** Returns a question and its answer. */
const turn = (name) => [asks(name), { role: "assistant", content: answerTo(name) }];

/** Returns the messages of the model for these turns and a question. */
const plainly = (...names) => {
  const last = names.pop();
  return [...names.flatMap((name) => [name, answerTo(name)]), last];
};
/** Returns the one message of the model for the same conversation, sent as a whole. */
const folded = (...names) => {
  const last = names.pop();
  const lines = names.flatMap((name) => [`User: ${name}`, `Assistant: ${answerTo(name)}`]);
  const history = `[Chat messages since your last reply - for context]\n${lines.join("\n")}`;
  return [`${history}\n\n[Current message - respond to this]\nUser: ${last}`];
};

const textOf = (content) =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");

/** Returns the number of images in a conversation as the model received it. */
const imagesOf = (messages) =>
  messages
    .flatMap(({ content }) => (Array.isArray(content) ? content : []))
    .filter(({ type }) => type !== "text").length;

/** Returns the texts of a conversation as the model received it, without those of the gateway. */
const heard = (messages) =>
  messages
    .filter(({ role }) => role === "user" || role === "assistant")
    .map(({ content }) =>
      textOf(content)
        .replaceAll(/ ?\[\[(fake|steps) [^\]]*\]\]/g, "")
        .replace(/^\[\w{3} \d{4}-[^\]]*\] /, "")
        .replace(/\n\nRuntime: [\s\S]*$/, "")
        .trim(),
    )
    .filter((text) => !text.startsWith("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"));

describe(`memory, OpenClaw ${version}`, () => {
  const key = newKey("phone", "main,beta", "--default", "main");
  const calls = [];
  let front;
  before(async () => {
    front = await sharedFront({ entries: [key.entry], onCall: (messages) => calls.push(messages) });
  });
  after(() => front?.stop());

  /** Sends a conversation, and returns the response's word for its memory. */
  async function send(user, messages, { status = 200, model = "openclaw/main" } = {}) {
    const response = await post(front.worker, key, { model, user, messages });
    assert.equal(response.status, status, await response.clone().text());
    await response.text();
    return response.headers.get("x-clawfront-memory");
  }
  /** Returns the same word, and the texts that the model received for the last question. */
  async function seen(user, messages, options) {
    const before = calls.length;
    const word = await send(user, messages, options);
    const name = textOf(messages.at(-1).content).split(" ")[0];
    const call = calls.slice(before).find((call) => heard(call).at(-1).endsWith(name));
    return [word, heard(call)];
  }
  /**
   * Asserts that the model gets exactly this conversation, as one message. On protocol 3 the
   * session held `before`, and the model gets that, too.
   */
  async function isRenewed(user, names, before, options) {
    const messages = [...names.slice(0, -1).flatMap(turn), asks(names.at(-1))];
    const expected =
      protocol === 4 ? ["renewed", folded(...names)] : ["added", [...before, ...folded(...names)]];
    assert.deepEqual(await seen(user, messages, options), expected);
  }

  test("a conversation that goes on is in its session, each text once", async () => {
    const first = protocol === 4 ? "begun" : null;
    assert.deepEqual(await seen("on", [asks("on1")]), [first, ["on1"]]);
    assert.deepEqual(await seen("on", [...turn("on1"), asks("on2")]), [
      "continued",
      plainly("on1", "on2"),
    ]);
    assert.deepEqual(await seen("on", [...turn("on1"), ...turn("on2"), asks("on3")]), [
      "continued",
      plainly("on1", "on2", "on3"),
    ]);
    // A client may leave out the oldest messages.
    assert.deepEqual(await seen("on", [...turn("on3"), asks("on4")]), [
      "continued",
      plainly("on1", "on2", "on3", "on4"),
    ]);
  });

  test("a file that was answered is in its session, and in no later message", async () => {
    // 100 KiB in lines.
    const text = "0123456789,abcdefghijklmnopqrst\n".repeat(3200);
    const withFile = (file) => {
      const message = asks("file1");
      return { ...message, content: [{ type: "text", text: message.content }, file] };
    };
    const first = withFile(fileOf("a.csv", text));
    const told = `file1\n${framed("a.csv", text)}`;
    const answer = { role: "assistant", content: answerTo("file1") };
    await send("file", [first]);
    assert.deepEqual(heard(calls.at(-1)), [told]);
    assert.equal(await send("file", [first, answer, asks("file2")]), "continued");
    assert.deepEqual(heard(calls.at(-1)), [told, answerTo("file1"), "file2"]);
    // Another file under the same name is another conversation.
    const other = withFile(fileOf("a.csv", "1,2"));
    const shown = [other, answer, ...turn("file2"), asks("file3")];
    const word = await send("file", shown);
    assert.equal(word, protocol === 4 ? "renewed" : "unverified");
    if (protocol === 4)
      assert.ok(heard(calls.at(-1))[0].includes(`User: file1\n${framed("a.csv", "1,2")}\n`));
  });

  test("a message is in its session with its image, or with documents before it", async () => {
    const [first, changed] = protocol === 4 ? ["begun", "renewed"] : [null, "unverified"];
    const answer = { role: "assistant", content: answerTo("see") };
    const see = (...parts) => ({
      role: "user",
      content: [...parts, { type: "text", text: asks("see").content }],
    });
    const image = { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } };
    // Both answers have the same words.
    const again = { role: "user", content: asks("see").content.replace("see", "again") };
    assert.equal(await send("image", [see(image)]), first);
    assert.equal(await send("image", [see(image), answer, again]), "continued");
    assert.equal(await send("image", [see(image), answer, again]), changed);
    if (protocol === 4) {
      // The whole conversation is one message there now, with its image.
      assert.equal(imagesOf(calls.at(-1)), 1);
      const next = [see(image), answer, again, answer, asks("on")];
      assert.equal(await send("image", next), "continued");
    }

    // A conversation that its client keeps alone has each image every time.
    const shown = [see(image), answer, see(image), answer, again];
    await send(undefined, shown);
    assert.equal(imagesOf(calls.at(-1)), 2);

    // Open WebUI writes them before the latest message only.
    const documents = "### Task:\nRespond to the user query.\n<context>\na page\n</context>\n\n";
    const told = ({ content }) => ({ role: "user", content: documents + content });
    assert.equal(await send("documents", [told(asks("doc1"))]), first);
    const next = [...turn("doc1"), told(asks("doc2"))];
    assert.equal(await send("documents", next), "continued");
    const last = [...turn("doc1"), ...turn("doc2"), asks("doc3")];
    assert.equal(await send("documents", last), "continued");
  });

  test("a session that was never used, or was reset, gets the whole conversation", async () => {
    const messages = [...turn("new1"), asks("new2")];
    assert.deepEqual(await seen("new", messages), ["begun", folded("new1", "new2")]);
    if (protocol === 3) return;
    await resetSession(front.gateway.url, front.token, "agent:main:edge:phone:user:=new");
    assert.deepEqual(await seen("new", messages), ["begun", folded("new1", "new2")]);
  });

  test("an answer is generated again without the first one", async () => {
    await send("again", [asks("again1")]);
    await send("again", [...turn("again1"), asks("again2")]);
    const before = [...plainly("again1", "again2"), answerTo("again2")];
    await isRenewed("again", ["again1", "again2"], before);
    // And the conversation goes on.
    const next = await seen("again", [...turn("again1"), ...turn("again2"), asks("again3")]);
    assert.deepEqual(next, [
      protocol === 4 ? "continued" : "unverified",
      [
        ...(protocol === 4 ? [] : before),
        ...folded("again1", "again2"),
        answerTo("again2"),
        "again3",
      ],
    ]);
  });

  test("the first answer is generated again, as well", async () => {
    await send("first", [asks("first1")]);
    const expected =
      protocol === 4
        ? ["renewed", ["first1"]]
        : [null, [...plainly("first1"), answerTo("first1"), "first1"]];
    assert.deepEqual(await seen("first", [asks("first1")]), expected);
  });

  test("a message is edited, and the conversation branches", async () => {
    await send("edit", [asks("edit1")]);
    await send("edit", [...turn("edit1"), asks("edit2")]);
    const before = [...plainly("edit1", "edit2"), answerTo("edit2")];
    await isRenewed("edit", ["edit1", "other2"], before);
    if (protocol === 3) return;
    // An older message is edited where it stands, and the answers stay: first one that the session
    // got by itself, then one that it got in a whole conversation.
    await send("edit", [...turn("edit1"), ...turn("other2"), asks("edit3")]);
    await isRenewed("edit", ["edit1", "other2", "edit3", "edit4"].with(1, "another2"));
    await isRenewed("edit", ["changed1", "another2", "edit3", "edit4", "edit5"]);
    await send("edit", [
      ...turn("changed1"),
      ...["another2", "edit3", "edit4", "edit5"].flatMap(turn),
      asks("edit6"),
    ]);
    const question = [...turn("edit5"), ...turn("edit6"), asks("edit7")];
    question[2] = asks("edit6b");
    assert.equal(await send("edit", question), "renewed");
  });

  test("a conversation moves to another agent, and back", async () => {
    await send("move", [asks("move1")]);
    const there = await seen("move", [...turn("move1"), asks("move2")], { model: "openclaw/beta" });
    assert.deepEqual(there, ["begun", folded("move1", "move2")]);
    await isRenewed("move", ["move1", "move2", "move3"], [...plainly("move1"), answerTo("move1")]);
  });

  test("a turn that failed is sent again once", async () => {
    await send("fail", [asks("fail1")]);
    const failing = { role: "user", content: "fail2 [[fake error=400]]" };
    await send("fail", [...turn("fail1"), failing], { status: 400 });
    const retried = await seen("fail", [...turn("fail1"), asks("fail2")]);
    const expected =
      protocol === 4
        ? ["renewed", folded("fail1", "fail2")]
        : ["unverified", [...plainly("fail1", "fail2"), "fail2"]];
    assert.deepEqual(retried, expected);
  });

  test("tools stay in a session that goes on", async () => {
    const content = steps(
      { text: "Let me look.", tools: [call("exec", { command: "echo hi" })] },
      { text: "It says hi, as it should." },
      { text: "It still does, as I said." },
    );
    await send("tool", [{ role: "user", content }]);
    const before = calls.length;
    const word = await send("tool", [
      { role: "user", content },
      { role: "assistant", content: "Let me look.\n\nIt says hi, as it should." },
      { role: "user", content: "tool2" },
    ]);
    assert.equal(word, "continued");
    const messages = calls.at(before);
    assert.equal(messages.filter(({ role }) => role === "tool").length, 1);
    assert.equal(heard(messages).at(-1), "tool2");
  });

  test("a response that others followed goes on in a copy up to it, with what tools said", async () => {
    const respond = async (content, previous) => {
      const response = await fetch(`${front.worker.url}/v1/responses`, {
        method: "POST",
        headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
        body: JSON.stringify({
          model: "openclaw/main",
          input: content,
          previous_response_id: previous,
        }),
      });
      assert.equal(response.status, 200, await response.clone().text());
      const { id } = await response.json();
      return { id, word: response.headers.get("x-clawfront-memory") };
    };
    const content = steps(
      { text: "Let me look.", tools: [call("exec", { command: "echo hi" })] },
      { text: "It says hi, as it should." },
      { text: "Another answer, as I was asked." },
    );
    const first = await respond(content);
    const second = await respond("left2", first.id);
    const before = calls.length;
    const branch = await respond("right2", first.id);
    const seenByBranch = calls.at(before);
    const next = calls.length;
    const later = await respond("right3", branch.id);
    const seenLater = calls.at(next);
    const back = calls.length;
    const left = await respond("left3", second.id);
    const seenLeft = calls.at(back);
    const words = [second.word, branch.word, later.word, left.word];
    const texts = [seenByBranch, seenLater, seenLeft].map((messages) =>
      heard(messages).filter((text) => /^(left|right)\d$/.test(text)),
    );
    if (protocol === 3) {
      // It has no copies, and its rows do not say which run they belong to.
      assert.deepEqual(words, ["continued", "continued", "continued", "continued"]);
      assert.deepEqual(texts[0], ["left2", "right2"]);
      return;
    }
    assert.deepEqual(words, ["continued", "branched", "continued", "continued"]);
    assert.deepEqual(texts, [["right2"], ["right2", "right3"], ["left2", "left3"]]);
    for (const messages of [seenByBranch, seenLater])
      assert.equal(messages.filter(({ role }) => role === "tool").length, 1);
    const rows = await listSessions(front.gateway.url, front.token);
    assert.deepEqual(
      rows.filter((sessionKey) => sessionKey.includes(":dashboard:")),
      [],
      "the first copy is deleted",
    );
  });

  test("two conversations of one name do not see each other", async () => {
    await send("two", [asks("left1")]);
    await isRenewed("two", ["right1", "right2"], [...plainly("left1"), answerTo("left1")]);
    if (protocol === 4) await isRenewed("two", ["left1", "left2"]);
  });

  test("a turn that is going is neither ended nor seen by another conversation of its name", {
    skip: protocol === 3 && "protocol 3 runs it after that turn, in the same session",
  }, async () => {
    await send("busy", [asks("busy1")]);
    const before = calls.length;
    const slow = send("busy", [...turn("busy1"), asks("slow2", " delay=400")]);
    await until("the first turn is going", () => calls.length > before);
    await sleep(300);
    assert.deepEqual(await seen("busy", [...turn("busy1"), asks("quick2")]), [
      "aside",
      folded("busy1", "quick2"),
    ]);
    assert.equal(await slow, "continued");
    await isRenewed("busy", ["busy1", "quick2", "busy3"]);
  });
});
