// Answers that are more than a stream of text: files, messages that a tool sends, silence.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { collect, newKey, post, says, sdk, until } from "../support/front.mjs";
import { call, protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { steps } from "../support/prompts.mjs";

/** The maximum of runs at a time. Commands need an operator's consent, which nobody gives here. */
const RUNS = 2;
const PLACE = "take a place";
/** A busy machine takes that long, too. */
const START = ": waiting for the gateway to start the run";
const settings = {
  agents: { defaults: { maxConcurrent: RUNS } },
  ...(protocol === 4 && { tools: { exec: { mode: "ask" } } }),
};

describe(`answers of OpenClaw ${version}`, () => {
  const key = newKey("phone", "main");
  let front;
  /** Calls of the model for the runs that take all places. */
  let places = 0;
  /** The messages of the calls of the model. */
  const seen = [];
  const onCall = (messages) => {
    seen.push(messages);
    if (JSON.stringify(messages).includes(PLACE)) places += 1;
  };
  before(
    async () => (front = await startOpenClawFront({ entries: [key.entry], settings, onCall })),
  );
  after(() => front?.stop());

  /** The text, streamed and whole; both must be the same. */
  async function answer(prompt) {
    const streamed = await collect(
      await sdk(front.worker, key).chat.completions.create(says(prompt, { stream: true })),
    );
    const whole = await sdk(front.worker, key).chat.completions.create(says(prompt));
    assert.deepEqual(streamed.finish, ["stop"]);
    assert.equal(whole.choices[0].message.content, streamed.text);
    return streamed.text;
  }

  test("a path of the gateway's host is in no answer", async () => {
    const path = "/srv/openclaw/red.png";
    assert.equal(await answer(steps({ text: `Here is it.\n\nMEDIA:${path}` })), "Here is it.");
    assert.equal(
      await answer(steps({ text: `[[audio_as_voice]]Hi there\nMEDIA:${path}` })),
      "Hi there",
    );
    const response = await sdk(front.worker, key).responses.create({
      model: "openclaw",
      input: steps({ text: `Here.\nMEDIA:${path}` }),
    });
    assert.equal(response.output_text, "Here.");
  });

  test("an answer that is files alone says how many", async () => {
    assert.equal(
      await answer(steps({ text: "MEDIA:/srv/a.png" })),
      "The agent produced 1 file, which this API cannot deliver.",
    );
    assert.equal(
      await answer(steps({ text: "MEDIA:/srv/a.png\nMEDIA:./b.wav" })),
      "The agent produced 2 files, which this API cannot deliver.",
    );
  });

  test("an answer that names a file keeps its blanks and lines", async () => {
    const text = await answer(
      steps({ text: "Hello  two\n\n- a:  b\n  - c\n\nMEDIA:/srv/a.png\nThe  end." }),
    );
    assert.match(text, /^Hello {1,2}two\n{1,2}- a: {1,2}b\n {1,2}- c\n+The {1,2}end\.$/);
  });

  test("reasoning between tags is not sent, and loses no part of the answer", async () => {
    assert.equal(
      await answer(steps({ text: "<think>Let me see.</think>Hello there.", delay: 5 })),
      "Hello there.",
    );
    assert.equal(
      await answer(
        steps({ text: "Well <thinking>hm</thinking>then, <final>done</final>.", delay: 5 }),
      ),
      "Well then, done.",
    );
    assert.equal(
      await answer(
        steps(
          { text: "If a < b", tools: [{ name: "exec", args: { command: "true" } }], delay: 5 },
          { text: "Vec<f", delay: 5 },
        ),
      ),
      "If a < b\n\nVec<f",
    );
  });

  test("a session with a secret in its last answer receives only the new messages", async () => {
    const secret = "Your key is sk-abcdefghijklmnopqrstuvwxyz0123456789ABCD, keep it.";
    const user = "masked";
    const ask = (messages) =>
      sdk(front.worker, key).chat.completions.create({ model: "openclaw", user, messages });
    const first = {
      role: "user",
      content: `one [[fake text=${Buffer.from(secret).toString("base64url")}]]`,
    };
    assert.equal((await ask([first])).choices[0].message.content, secret);
    const heard = await ask([
      first,
      { role: "assistant", content: secret },
      { role: "user", content: "two [[fake echo=1]]" },
    ]);
    const { user: told } = JSON.parse(heard.choices[0].message.content.slice("ECHO ".length));
    assert.ok(told.includes("two") && !told.includes("one"), "the conversation was sent again");
  });

  test("text before a tool call is there, also where both come at once", async () => {
    const once = steps(
      { text: "I ask.", tools: [{ name: "exec", args: { command: "true" } }], delay: 0 },
      { text: "After." },
    );
    const longer = steps(
      {
        text: "I ask for two things.",
        tools: [{ name: "exec", args: { command: "true" } }],
        delay: 0,
      },
      { text: "After." },
    );
    assert.equal(await answer(once), "I ask.\n\nAfter.");
    assert.equal(await answer(longer), "I ask for two things.\n\nAfter.");
  });

  /** The comments of a stream, until it ends or one of them is this. */
  async function comments(prompt, last) {
    const response = await post(front.worker, key, says(prompt, { stream: true }));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes(`\n${last}\n`)) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
    }
    await reader.cancel();
    return text.split("\n").filter((line) => line.startsWith(":"));
  }

  test("a run that waits for its place at the gateway is reported", async () => {
    const slow = Array.from({ length: RUNS }, () =>
      sdk(front.worker, key).chat.completions.create(
        says(`${PLACE} [[fake deltas=100 delay=120]]`),
      ),
    );
    await until("the others run", () => places === RUNS, 60_000);
    assert.ok((await comments("hi [[fake deltas=1]]", START)).includes(START));
    await Promise.all(slow);
  });

  test("a command that was denied is reported without a request for it", {
    skip: protocol === 3 && "2026.3 does not report it",
  }, async () => {
    const denied = steps(
      { tools: [{ name: "exec", args: { command: "touch denied.txt" } }] },
      { text: "Not allowed." },
    );
    assert.deepEqual(
      (await comments(denied)).filter((comment) => comment !== START),
      [": tool exec denied"],
    );
  });

  test("a question to the user ends the answer, and the next message is answered after it", {
    skip: protocol === 3 && "2026.3 does not have the tool",
  }, async () => {
    const question = {
      id: "where",
      header: "Deploy",
      question: "Where to deploy?",
      options: [{ label: "Staging", description: "the safe one" }, { label: "Production" }],
    };
    const text = "I ask.\n\nWhere to deploy?\n\n1. Staging: the safe one\n2. Production";
    const asks = (user) => ({
      ...says(
        steps(
          { text: "I ask.", tools: [call("ask_user", { questions: [question] })] },
          { text: `Noted, ${user}.` },
        ),
      ),
      user,
    });
    const { completions } = sdk(front.worker, key).chat;
    const streamed = await collect(await completions.create({ ...asks("ada"), stream: true }));
    assert.deepEqual([streamed.text, streamed.finish], [text, ["stop"]]);
    const whole = await completions.create(asks("bob"));
    assert.equal(whole.choices[0].message.content, text);
    assert.ok(whole.usage.prompt_tokens > 1000 && whole.usage.completion_tokens > 0);
    // The agent goes on from its question, in the conversation that the client shows.
    const messages = [...asks("bob").messages, { role: "assistant", content: text }];
    for (const said of ["Production", "And now?"]) {
      messages.push({ role: "user", content: said });
      seen.length = 0;
      const next = await post(front.worker, key, { model: "openclaw", user: "bob", messages });
      assert.equal(next.headers.get("x-clawfront-memory"), "continued", said);
      const { choices } = await next.json();
      assert.equal(choices[0].message.content, "Noted, bob.");
      messages.push(choices[0].message);
      const roles = seen.at(-1).map(({ role }) => role);
      assert.ok(roles.includes("tool"), "the agent sees its own call");
    }
  });

  test("a message that a tool sends is part of the answer on protocol 4", async () => {
    const message = call("message", { action: "send", message: "Message for you." });
    const text = await answer(
      steps({ text: "I send it.", tools: [message], delay: 20 }, { text: "Done." }),
    );
    if (protocol === 4) assert.equal(text, "I send it.\n\nMessage for you.\n\nDone.");
    // 2026.3 has no target for it, and says so.
    else assert.equal(text, "I send it.\n\nDone.\n\n⚠️ ✉️ Message failed");
  });

  test("an agent that says nothing is answered for as the gateway's own endpoint does", async () => {
    const prompt = steps({ text: "NO_REPLY" });
    const ask = (url, token) =>
      fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(says(prompt, { model: "openclaw/main" })),
      });
    const [theirs, ours] = [
      await ask(front.gateway.httpUrl, front.token),
      await ask(front.worker.url, key.key),
    ];
    if (protocol === 4) assert.deepEqual([theirs.status, ours.status], [500, 400]);
    else {
      assert.equal((await theirs.json()).choices[0].message.content, "No response from OpenClaw.");
      assert.equal((await ours.json()).choices[0].message.content, "No response from OpenClaw.");
    }
  });
});
