// Agents that delegate: `sessions_spawn`, then `sessions_yield`, which ends the run; the answer is
// a later run of the session.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { collect, newKey, post, says, sdk, until } from "../support/front.mjs";
import { call, protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { steps } from "../support/prompts.mjs";

/** A sub-agent that says this, a piece of 7 characters at a time. */
const spawn = (text, delay, label) =>
  call("sessions_spawn", { task: steps({ text, delay }), label });
const wait = { tools: [{ name: "sessions_yield", args: { message: "waiting" } }] };

describe(`agents of OpenClaw ${version} that delegate`, () => {
  const key = newKey("phone", "main");
  let front;
  // Not the shared one: half a minute after its run was stopped, 2026.9.6 reports a sub-agent's
  // result to the session again, and the tests of other files count the model's calls.
  before(async () => (front = await startOpenClawFront({ entries: [key.entry] })));
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

  test("a connection that is lost during the wait costs nothing", async () => {
    const prompt = steps({ tools: [spawn("Child result, slowly.", 800, "kid")] }, wait, {
      text: "After the loss.",
    });
    const response = await post(front.worker, key, says(prompt, { stream: true }));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      if (text.includes(": waiting for sub-agents") && !text.includes("cut")) {
        text += "cut";
        front.tunnel.shut();
        await sleep(200);
        front.tunnel.open();
      }
    }
    assert.match(text, /cut/);
    assert.match(text, /After the loss|After t/);
    assert.match(text, /"finish_reason":"stop"/);
  });

  test("a continuation that ran while the connection was lost is found", async () => {
    const prompt = steps({ tools: [spawn("Child.", 20, "kid")] }, wait, { text: "Found." });
    const calls = front.provider.requests.length;
    const response = await post(front.worker, key, says(prompt, { stream: true }));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    let isShut = false;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      if (text.includes(": waiting for sub-agents") && !isShut) {
        isShut = true;
        front.tunnel.shut();
        await until(
          "the continuation ran",
          () =>
            front.provider.requests.length >= calls + 4 && front.provider.requests.at(-1).finished,
          20_000,
        );
        await sleep(1_000);
        front.tunnel.open();
      }
    }
    assert.match(text, /"content":"Found\."/);
    assert.match(text, /"finish_reason":"stop"/);
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
});
