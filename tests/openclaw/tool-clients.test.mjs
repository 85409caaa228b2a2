// Clients whose tools an agent of a real OpenClaw gateway calls, in several rounds, with the loops
// that the clients bring along. Only the model is scripted: by the first message, and then by the
// result of each call.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  aiSdk,
  langchain,
  langchainStructured,
  responses,
  runTools,
} from "../clients/tool-loops.mjs";
import { pythonAdapter } from "../support/clients.mjs";
import { newKey } from "../support/front.mjs";
import { FOR_TOOLS, protocol, startOpenClawFront, version } from "../support/openclaw.mjs";
import { spoken } from "../support/prompts.mjs";

const calls = (name, args) => `[[fake tool=${name} args=${JSON.stringify(args)}]]`;
const FIRST = `weather? ${calls("get_weather", { city: "Paris" })}`;
const ANSWER = "It is dry at noon.";
/** The results of the tools. Each has the model's next step. */
const RESULTS = {
  Paris: `rain ${calls("get_weather", { city: "Rome" })}`,
  Rome: `sun ${calls("now", {})}`,
  now: spoken(ANSWER),
};
const STRUCTURED = { answer: ANSWER };
const PLACE = { city: "Rome" };

const skip = protocol === 3 && "agents of OpenClaw 2026.3 cannot call a client's tools";

describe(`clients with tools, OpenClaw ${version}`, { skip }, () => {
  const { key, entry } = newKey("tools", "main", "--default", "main", "--tools", "run");
  const python = pythonAdapter("tool_loops");
  let front, baseURL;

  before(async () => {
    front = await startOpenClawFront({
      entries: [entry],
      vars: { GATEWAY_HTTP: "trusted-proxy" },
      ...FOR_TOOLS,
    });
    baseURL = `${front.worker.url}/v1`;
  });
  after(async () => {
    await python.close();
    await front?.stop();
  });

  /** Runs a loop of a client in JavaScript; each result is asked for once, in this order. */
  async function loop(client, options, { now = RESULTS.now } = {}) {
    const asked = [];
    const give = (name, result) => {
      asked.push(name);
      return result;
    };
    const answer = await client({
      ...{ baseURL, key, content: FIRST, ...options },
      weather: (city) => give(city, RESULTS[city]),
      now: () => give("now", now),
    });
    const label = JSON.stringify(options);
    assert.deepEqual([answer, asked], [ANSWER, Object.keys(RESULTS)], label);
  }
  const called = (method, fields) => python.call(method, { base_url: baseURL, key, ...fields });
  const pythonLoop = async (method, options) => {
    const answer = await called(method, { content: FIRST, results: RESULTS, ...options });
    assert.equal(answer, ANSWER, JSON.stringify(options));
  };
  /** Runs something streamed and whole, at one time. */
  const each = (list, run) =>
    Promise.all(
      list.flatMap((options) => [true, false].map((stream) => run({ ...options, stream }))),
    );

  test("openai-node: runTools", () => each([{}], (options) => loop(runTools, options)));

  test("openai-node: responses, with the items and with an id", () =>
    each([{ chain: false }, { chain: true }], (options) => loop(responses, options)));

  test("AI SDK", async () => {
    const providers = ["compatible", "responses", "chat"].map((provider) => ({ provider }));
    await each(providers, (options) => loop(aiSdk, options));
    const now = spoken(JSON.stringify(STRUCTURED));
    await Promise.all(
      providers.map((options) => loop(aiSdk, { ...options, output: true }, { now })),
    );
  });

  test("LangChain for JavaScript", async () => {
    const apis = [{ useResponsesApi: false }, { useResponsesApi: true }];
    await each(apis, (options) => loop(langchain, options));
    for (const method of ["functionCalling", "jsonSchema"]) {
      const content =
        method === "functionCalling" ? calls("place", PLACE) : spoken(JSON.stringify(PLACE));
      const places = apis.map((api) =>
        langchainStructured({ ...{ baseURL, key, content, method }, ...api }),
      );
      assert.deepEqual(await Promise.all(places), [PLACE, PLACE], method);
    }
  });

  test("openai-python", () =>
    Promise.all(
      ["chat", "response"].map((method) => each([{}], (options) => pythonLoop(method, options))),
    ));

  test("Agents SDK for Python, with handoffs", async () => {
    const apis = [{ api: "chat" }, { api: "responses" }, { api: "responses", chain: true }];
    await each(apis, (options) => pythonLoop("agents", options));
    const name = `the other ${spoken("Hola.")}`;
    for (const api of ["chat", "responses"]) {
      const content = calls("ask_the_other", {});
      const result = await called("agents_handoff", { api, content, name });
      assert.deepEqual(result, [name, "Hola."], api);
    }
  });

  test("LangChain for Python", async () => {
    const apis = [{ responses: false }, { responses: true }];
    await each(apis, (options) => pythonLoop("langchain", options));
    for (const method of ["function_calling", "json_schema"]) {
      const content =
        method === "function_calling" ? calls("Place", PLACE) : spoken(JSON.stringify(PLACE));
      const places = apis.map((api) => called("langchain_structured", { content, method, ...api }));
      assert.deepEqual(await Promise.all(places), [PLACE.city, PLACE.city], method);
    }
  });
});
