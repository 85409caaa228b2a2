// Agents that delegate: `sessions_spawn`, then `sessions_yield`, which ends the run; the answer is
// a later run of the session.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { collect, newKey, post, says, sdk, until } from "../support/front.mjs";
import { get, keyWith } from "../support/keys.mjs";
import { call, protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { steps } from "../support/prompts.mjs";

/** A sub-agent that says this, a piece of 7 characters at a time. */
const spawn = (text, delay, label) =>
  call("sessions_spawn", { task: steps({ text, delay }), label });
const wait = { tools: [{ name: "sessions_yield", args: { message: "waiting" } }] };

describe(`agents of OpenClaw ${version} that delegate`, () => {
  const key = newKey("phone", "main");
  const patient = keyWith("patient", "main", "linger=60");
  const lasting = keyWith("lasting", "main", "linger=60 on_disconnect=finish");
  let front;
  // Not the shared one: half a minute after its run was stopped, 2026.9.6 reports a sub-agent's
  // result to the session again, and the tests of other files count the model's calls.
  before(
    async () =>
      (front = await startOpenClawFront({
        entries: [key, patient, lasting].map(({ entry }) => entry),
      })),
  );
  after(() => front?.stop());

  const ask = (prompt, fields) =>
    sdk(front.worker, key).chat.completions.create(says(prompt, fields));

  test("the answer is the one after the sub-agent's, in one stream, and usage adds up", async () => {
    const prompt = steps({ text: "I ask.", tools: [spawn("Child result.", 50, "kid")] }, wait, {
      text: "After the child.",
    });
    const seen = await collect(
      await ask(prompt, { stream: true, stream_options: { include_usage: true } }),
    );
    assert.equal(seen.text, "I ask.\n\nAfter the child.");
    assert.deepEqual(seen.finish, ["stop"]);
    assert.equal(seen.usage.prompt_tokens_details.cached_tokens, 300);
  });

  test("a whole answer waits for two sub-agents", async () => {
    // 2026.3 goes on once for each of them.
    const second = protocol === 4 ? [] : [wait];
    const prompt = steps(
      { tools: [spawn("One.", 20, "kid1"), spawn("Two, later.", 300, "kid2")] },
      wait,
      ...second,
      { text: "After both." },
    );
    const completion = await ask(prompt);
    assert.equal(completion.choices[0].message.content, "After both.");
  });

  /** Returns a stream's text, whose connection is lost in the wait while `during` goes on. */
  const textOverLoss = async (by, prompt, during) => {
    const response = await post(front.worker, by, says(prompt, { stream: true }));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    let isLost = false;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      if (isLost || !text.includes(": waiting for sub-agents")) continue;
      isLost = true;
      front.tunnel.shut();
      await during();
      front.tunnel.open();
    }
    assert.ok(isLost);
    assert.match(text, /"finish_reason":"stop"/);
    return text;
  };
  /** Waits until the run after the sub-agent's has ended: the fourth call of the model. */
  const continued = () => {
    const { requests } = front.provider;
    const calls = requests.length;
    return async () => {
      const isOver = () => requests.length >= calls + 4 && requests.at(-1).finished;
      await until("the next run has ended", isOver, 20_000);
      await sleep(1_000);
    };
  };

  test("a connection that is lost during the wait costs nothing", async () => {
    const prompt = steps({ tools: [spawn("Child result, slowly.", 800, "kid")] }, wait, {
      text: "After the loss.",
    });
    const text = await textOverLoss(key, prompt, () => sleep(200));
    assert.match(text, /After the loss|After t/);
  });

  test("a continuation that ran while the connection was lost is found", async () => {
    const prompt = steps({ tools: [spawn("Child.", 20, "kid")] }, wait, { text: "Found." });
    const text = await textOverLoss(key, prompt, continued());
    assert.match(text, /"content":"Found\."/);
  });

  test("a client that leaves stops the continuation where the gateway allows it", async () => {
    const slow = "This is a very long answer after the child, which nobody waits for. ".repeat(5);
    const prompt = steps({ tools: [spawn("Child.", 20, "kid")] }, wait, { text: slow, delay: 200 });
    const controller = new AbortController();
    const stream = await sdk(front.worker, key).chat.completions.create(
      says(prompt, { stream: true }),
      { signal: controller.signal },
    );
    for await (const { choices } of stream) if (choices[0]?.delta.content) controller.abort();
    const request = front.provider.requests.at(-1);
    if (protocol === 4) await until("the model's work is stopped", () => request.aborted, 5_000);
    else await until("the model goes on", () => request.deltas > 10);
  });

  // Without `sessions_yield` the answer ends before the sub-agent does.
  const left = (...kids) => [{ text: "I ask.", tools: kids }, { text: "They work." }];
  const turn = (by, messages, fields = {}) =>
    post(front.worker, by, { model: "openclaw", user: "ada", messages, ...fields });

  test("a sub-agent that is not waited for reports in a run that a key can wait for", async () => {
    const prompt = steps(...left(spawn("Child result.", 200, "kid")), { text: "It is done." });
    const messages = [{ role: "user", content: prompt }];
    const stream = { stream: true, stream_options: { include_usage: true } };
    const { completions } = sdk(front.worker, patient).chat;
    const first = "I ask.\n\nThey work.";
    const whole = protocol === 4 ? `${first}\n\nIt is done.` : first;
    const streamed = await collect(await completions.create({ ...says(prompt), ...stream }));
    assert.deepEqual([streamed.text, streamed.finish], [whole, ["stop"]]);
    assert.equal(streamed.usage.prompt_tokens_details.cached_tokens, protocol === 4 ? 300 : 200);

    const response = await turn(patient, messages);
    const answer = (await response.json()).choices[0].message;
    assert.equal(answer.content, whole);
    // The client shows what the session has.
    const next = [...messages, answer, { role: "user", content: "And now?" }];
    assert.equal((await turn(patient, next)).headers.get("x-clawfront-memory"), "continued");
  });

  test("the agent's words after two reports are a part of the answer", {
    skip: protocol === 3 && "protocol 3 does not name an answer's sub-agents",
  }, async () => {
    const kids = [spawn("One.", 50, "kid1"), spawn("Two, later.", 400, "kid2")];
    const prompt = steps(...left(...kids), { text: "Reported." });
    const answer = await sdk(front.worker, patient).chat.completions.create(says(prompt));
    // A run for each of them, and the one in which the gateway says that all have ended.
    const expected = ["I ask.", "They work.", "Reported.", "Reported.", "Reported."].join("\n\n");
    assert.equal(answer.choices[0].message.content, expected);
  });

  test("a connection that is lost while a sub-agent reports costs nothing", {
    skip: protocol === 3 && "protocol 3 does not name an answer's sub-agents",
  }, async () => {
    const prompt = steps(...left(spawn("Child result.", 300, "kid")), { text: "It is done." });
    assert.match(await textOverLoss(patient, prompt, continued()), /It is done\./);
  });

  test("a report that waits for a sub-agent of its own is followed to its end", {
    skip: protocol === 3 && "protocol 3 does not name an answer's sub-agents",
  }, async () => {
    const prompt = steps(
      ...left(spawn("Child result.", 100, "kid")),
      { text: "I ask another.", tools: [spawn("Second result.", 100, "kid2")] },
      wait,
      { text: "It is done." },
    );
    const answer = await sdk(front.worker, patient).chat.completions.create(says(prompt));
    const expected = ["I ask.", "They work.", "I ask another.", "It is done."].join("\n\n");
    assert.equal(answer.choices[0].message.content, expected);
  });

  test("a key without `linger` has its answer at once", async () => {
    const prompt = steps(...left(spawn("Slow child result.", 2_000, "kid")), { text: "Late." });
    const answer = await ask(prompt);
    assert.equal(answer.choices[0].message.content, "I ask.\n\nThey work.");
    const { requests } = front.provider;
    assert.ok(
      requests.some(({ finished }) => !finished),
      "the sub-agent is still at work",
    );
  });

  test("a response that is stored does not wait", async () => {
    const prompt = steps(...left(spawn("Slow child result.", 2_000, "kid")), { text: "Late." });
    const { responses } = sdk(front.worker, patient);
    const stored = await responses.create({ model: "openclaw", input: prompt, store: true });
    assert.deepEqual([stored.status, stored.output_text], ["completed", "I ask.\n\nThey work."]);
  });

  test("a client that leaves during the wait has its place and its session again", {
    skip: protocol === 3 && "protocol 3 does not name an answer's sub-agents",
  }, async () => {
    const ask = (messages, fields) =>
      post(front.worker, lasting, { model: "openclaw", user: "eve", messages, ...fields });
    const prompt = steps(...left(spawn("A slow child result.", 20_000, "kid")), { text: "Late." });
    const messages = [{ role: "user", content: prompt }];
    const reader = (await ask(messages, { stream: true })).body
      .pipeThrough(new TextDecoderStream())
      .getReader();
    for (let text = ""; !text.includes(": waiting for sub-agents"); )
      text += (await reader.read()).value;
    await reader.cancel();
    const status = async () => (await get(front.worker, lasting, "/v1/key")).json();
    const hasLeft = async () => (await status()).concurrent_runs.running === 0;
    await until("it has left", hasLeft, 50_000);
    const { usage_today } = await status();
    assert.deepEqual([usage_today.runs, usage_today.answers], [1, 1]);
    const next = [
      ...messages,
      { role: "assistant", content: "I ask.\n\nThey work." },
      { role: "user", content: "And now?" },
    ];
    assert.equal((await ask(next)).headers.get("x-clawfront-memory"), "continued");
  });
});
