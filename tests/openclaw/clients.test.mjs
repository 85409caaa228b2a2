// The clients of tests/clients in front of a real OpenClaw gateway; only the model behind it is
// scripted.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { compatibleAdapter, providerAdapter } from "../clients/ai-sdk-adapter.mjs";
import { curlAdapter } from "../clients/curl-adapter.mjs";
import { langchainAdapter } from "../clients/langchain-adapter.mjs";
import { openaiAdapter } from "../clients/openai-adapter.mjs";
import { responsesAdapter } from "../clients/openai-responses-adapter.mjs";
import { pythonAdapter } from "../support/clients.mjs";
import { newKey, until } from "../support/front.mjs";
import { protocol, version } from "../support/openclaw.mjs";
import { servePage } from "../support/page.mjs";
import { PIXEL, spoken, words } from "../support/prompts.mjs";
import { sharedFront } from "../support/shared-openclaw.mjs";

describe(`clients, OpenClaw ${version}`, () => {
  const phone = newKey("phone", "main,beta", "--default", "main");
  const inPage = newKey("page", "main,beta", "--default", "main");
  const operator = newKey("operator", "main", "--scopes", "status");
  /** The messages that the model received, call by call. */
  const told = [];
  const clients = {
    "openai-node": openaiAdapter,
    "openai-python": pythonAdapter("openai_python"),
    "openai-python, asynchronous": pythonAdapter("openai_python_async"),
    "openai-node, responses": responsesAdapter,
    "openai-python, responses": pythonAdapter("openai_python_responses"),
    "AI SDK, @ai-sdk/openai-compatible": compatibleAdapter,
    "AI SDK, @ai-sdk/openai": providerAdapter,
    "LangChain for JavaScript": langchainAdapter,
    "LangChain for Python": pythonAdapter("langchain_python"),
    curl: curlAdapter,
  };
  let front, page;
  before(async () => {
    page = await servePage();
    clients["openai-node in Chromium"] = page.adapter;
    [front] = await Promise.all([
      sharedFront({
        entries: [phone.entry, operator.entry, `${inPage.entry} origins=${page.origin}`],
        onCall: (messages) => told.push(JSON.stringify(messages)),
      }),
      page.open(),
    ]);
  });
  after(async () => {
    for (const adapter of Object.values(clients)) await adapter.close?.();
    await front?.stop();
  });

  test("the Worker is ready, and reports the gateway to its operator", async () => {
    const ready = async (key) => {
      const response = await fetch(`${front.worker.url}/readyz`, {
        headers: key && { authorization: `Bearer ${key}` },
      });
      return [response.status, await response.json()];
    };
    // Without a key of the gateway's operator the Worker does not look.
    const [status, { agents, ...rest }] = await ready(operator.key);
    assert.equal(status, 200);
    assert.equal(rest.status, "ready");
    assert.ok(agents >= 2, `${agents} agents`);
    assert.deepEqual(await ready(), [200, { status: "ready" }]);
  });

  for (const name of [...Object.keys(clients), "openai-node in Chromium"]) {
    test(name, async (t) => {
      const { key } = name.endsWith("Chromium") ? inPage : phone;
      const client = clients[name]({ baseURL: `${front.worker.url}/v1`, key });

      await t.test("answers, streamed and whole, with usage", async () => {
        for (const stream of [true, false]) {
          const { text, finish, usage } = await client.ask({
            content: "hi [[fake deltas=8 delay=10]]",
            stream,
          });
          assert.deepEqual([text, finish, usage.output, usage.cached], [words(8), "stop", 8, 100]);
          const said = "Grüße, 世界! 👩‍🚀\n\n```js\nlet a;\n```\nend.";
          assert.equal((await client.ask({ content: spoken(said), stream })).text, said);
        }
      });

      await t.test("an image reaches the model", async () => {
        const before = told.length;
        const { text } = await client.ask({
          content: "what is this? [[fake echo=1]]",
          image: PIXEL,
        });
        assert.equal(JSON.parse(text.slice("ECHO ".length)).images, 1);
        assert.ok(told.length > before);
      });

      await t.test("errors are in words", async () => {
        await assert.rejects(
          client.ask({ content: "hi", model: "nobody", stream: true }),
          (error) => error.status === 404 && /model/.test(error.message),
        );
        for (const stream of [true, false])
          await assert.rejects(
            client.ask({ content: "hi [[fake streamerror=2]]", stream }),
            /run failed|model provider/,
          );
      });

      await t.test("a session remembers", async () => {
        const session = `trip-${name.replace(/\W+/g, "-")}`;
        await client.ask({ content: `remember zebra-${session} [[fake deltas=2]]`, session });
        const before = told.length;
        await client.ask({ content: "and? [[fake deltas=2]]", session, stream: true });
        assert.ok(told.slice(before).join("\n").includes(`zebra-${session}`));
      });

      await t.test(
        protocol === 4 ? "leaving stops the model" : "leaving ends the stream",
        async () => {
          const calls = front.provider.requests.length;
          const { text } = await client.ask({
            content: "hi [[fake deltas=300 delay=40]]",
            stream: true,
            leaveAfter: 20,
          });
          assert.ok(words(300).startsWith(text) && text.length >= 20, text);
          // On protocol 3 nothing that a Worker may do stops a run.
          if (protocol === 4)
            await until(
              "the model's caller has left",
              () => front.provider.requests[calls].aborted,
            );
        },
      );
    });
  }
});
