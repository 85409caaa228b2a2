// Tests two keys on one real gateway: neither lists, addresses, receives, stops or learns about the
// runs of the other, and the Worker refuses before the gateway receives anything.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { collect, lines, newKey, post, says, sdk, until } from "../support/front.mjs";
import { protocol, version } from "../support/openclaw.mjs";
import { spoken } from "../support/prompts.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";

describe(`keys, OpenClaw ${version}`, () => {
  const anna = newKey("anna", "main,beta", "--default", "main");
  const bert = newKey("bert", "beta");
  const job = newKey("job", "main");
  /** The messages that the model received, call by call. */
  const told = [];
  let front;
  before(async () => {
    const limited = `${job.entry} rpm=2 runs=1 scopes=chat origins=https://ci.example.com networks=203.0.113.0/24`;
    front = await sharedFront({
      entries: [anna.entry, bert.entry, limited],
      vars: { MODEL_ALIASES: "gpt-4o=main" },
      onCall: (messages) => told.push(JSON.stringify(messages)),
    });
  });
  after(() => front?.stop());

  const ids = async (key, query) =>
    (await sdk(front.worker, key).models.list({ query })).data.map(({ id }) => id);

  test("a key lists its own agents, and the other's are not there for it", async () => {
    assert.deepEqual(await ids(anna), ["openclaw", "openclaw/beta"]);
    assert.deepEqual(await ids(bert), ["openclaw"]);
    const [model] = (await sdk(front.worker, bert).models.list()).data;
    const { name, context_length, architecture, reasoning } = model;
    assert.deepEqual(
      { name, context_length, architecture, reasoning },
      protocol === 4
        ? {
            name: "Beta",
            context_length: 200_000,
            architecture: { input_modalities: ["text", "image"], output_modalities: ["text"] },
            reasoning: { supported_efforts: ["high", "medium", "low", "minimal", "none"] },
          }
        : {
            name: "Beta",
            context_length: undefined,
            architecture: undefined,
            reasoning: undefined,
          },
    );
    assert.deepEqual(await ids(anna, { aliases: true }), [
      "openclaw",
      "openclaw/main",
      "openclaw/beta",
      "main",
      "beta",
      "gpt-4o",
    ]);
    const answers = new Set();
    const refusal = async (promise) => {
      const error = await promise.then(assert.fail, (error) => error);
      answers.add(`${error.status} ${JSON.stringify(error.error)}`);
    };
    for (const id of ["main", "openclaw/main", "gpt-4o", "openclaw/nobody", "nobody"]) {
      await refusal(sdk(front.worker, bert).models.retrieve(id));
      await refusal(sdk(front.worker, bert).chat.completions.create(says("hi", { model: id })));
    }
    assert.equal(answers.size, 1, [...answers].join("\n"));
  });

  test("every name that is listed runs the agent it is listed for", async () => {
    for (const id of await ids(anna, { aliases: true })) {
      const completion = await sdk(front.worker, anna).chat.completions.create(
        says("hi [[fake deltas=2]]", { model: id }),
      );
      assert.equal(completion.choices[0].message.content, "w0 w1");
      // The agents have a model each.
      assert.equal(
        front.provider.requests.at(-1).model,
        id.endsWith("beta") ? "fake-2" : "fake-1",
        id,
      );
    }
  });

  test("the messages of one key are not in a session that another key names, by any name", async () => {
    const ask = async (key, content, session, fields = {}) => {
      const response = await post(
        front.worker,
        key,
        says(content, { model: "openclaw/beta", ...fields }),
        { headers: { "x-openclaw-session-key": session } },
      );
      assert.equal(response.status, 200, await response.clone().text());
      return (await response.json()).choices[0].message.content;
    };
    await ask(anna, "remember zebra-7 [[fake deltas=2]]", "trip");
    assert.ok(
      (await history(() => ask(anna, "again [[fake deltas=1]]", "trip"))).includes("zebra-7"),
      "she is remembered",
    );
    for (const name of [
      "trip",
      "agent:beta:edge:anna:key:=trip",
      "AGENT:BETA:EDGE:ANNA:KEY:=TRIP",
      "edge:anna:key:=trip",
      "../anna/trip",
    ]) {
      const heard = await history(() => ask(bert, "what do you know? [[fake deltas=1]]", name));
      assert.ok(!heard.includes("zebra"), name);
    }
    const asUser = await history(() =>
      ask(bert, "and now? [[fake deltas=1]]", "", { user: "agent:beta:edge:anna:key:=trip" }),
    );
    assert.ok(!asUser.includes("zebra"));
  });

  /** Returns all messages that the model received for one request. */
  async function history(request) {
    const before = told.length;
    await request();
    assert.ok(told.length > before);
    return told.slice(before).join("\n");
  }

  test("streams that run side by side hold their own key's words alone", async () => {
    const said = {
      anna: "Anna alone hears of the zebra, at some length, in many small pieces.",
      bert: "Bert alone hears of the walrus, at some length, in as many pieces.",
    };
    const hear = async (key, words) =>
      (
        await collect(
          await sdk(front.worker, key).chat.completions.create(
            says(spoken(words, 20), { model: "openclaw/beta", stream: true }),
          ),
        )
      ).text;
    const heard = await Promise.all([
      hear(anna, said.anna),
      hear(bert, said.bert),
      hear(anna, said.anna),
      hear(bert, said.bert),
    ]);
    assert.deepEqual(heard, [said.anna, said.bert, said.anna, said.bert]);
  });

  test("a key that leaves stops its own run and no other, not even one whose id it knows", async () => {
    const story = "a long story that goes on and on, ".repeat(6).concat("to its end");
    const slow = sdk(front.worker, anna).chat.completions.create(
      says(spoken(story, 20), { model: "openclaw/beta", stream: true }),
    );
    const hers = collect(await slow);
    const line = () => lines(front.worker).findLast(({ key }) => key === "anna");
    const controller = new AbortController();
    const headers = {
      "idempotency-key": line()?.run ?? "x",
      "x-request-id": line()?.request_id ?? "x",
      "x-openclaw-run-id": line()?.run ?? "x",
    };
    const stream = await sdk(front.worker, bert).chat.completions.create(
      says("slow [[fake deltas=200 delay=50]]", { stream: true }),
      {
        signal: controller.signal,
        headers,
      },
    );
    for await (const _ of stream) controller.abort();
    await until("his line is there", () =>
      lines(front.worker).some(({ key, end }) => key === "bert" && end === "client_closed_request"),
    );
    const { text: heard, finish } = await hers;
    assert.deepEqual([heard, finish], [story, ["stop"]]);
  });

  test("every refusal leaves the gateway untouched", async () => {
    const inside = { "cf-connecting-ip": "203.0.113.5" };
    const running = await post(
      front.worker,
      job,
      says("slow [[fake deltas=100 delay=50]]", { stream: true }),
      { headers: inside },
    );
    assert.equal(running.status, 200);
    const reader = running.body.getReader();
    await reader.read();
    const before = front.tunnel.connections;
    const refusals = [
      [401, "invalid_api_key", { key: newKey("anna", "main").key }, says("hi")],
      [401, "invalid_api_key", job, says("hi")],
      [403, "origin_not_allowed", job, says("hi"), { ...inside, origin: "https://evil.example" }],
      [404, "model_not_found", bert, says("hi", { model: "main" })],
      [404, "model_not_found", bert, says("hi"), { "x-openclaw-agent-id": "main" }],
      [400, "invalid_request", bert, says("hi"), { "x-openclaw-session-key": "cron:nightly" }],
      [403, "command_not_allowed", anna, says("/reset")],
      [429, "concurrent_runs_exceeded", job, says("hi"), inside],
      [429, "rate_limit_exceeded", job, says("hi"), inside],
    ];
    for (const [status, code, key, body, headers] of refusals) {
      const response = await post(front.worker, key, body, { headers });
      assert.deepEqual([response.status, (await response.json()).error.code], [status, code]);
    }
    const models = await fetch(`${front.worker.url}/v1/models`, {
      headers: { authorization: `Bearer ${job.key}`, ...inside },
    });
    assert.deepEqual([models.status, (await models.json()).error.code], [403, "missing_scope"]);
    assert.equal(front.tunnel.connections, before);
    await reader.cancel();
    await until("the run that was left makes room", async () => {
      const key = await fetch(`${front.worker.url}/v1/key`, {
        headers: { authorization: `Bearer ${job.key}`, ...inside },
      });
      return (await key.json()).concurrent_runs.running === 0;
    });
    assert.ok(protocol === 3 || front.provider.requests.some(({ aborted }) => aborted));
  });
});
