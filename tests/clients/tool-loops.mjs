// The loops of the JavaScript clients, at their default settings, in which a model calls the tools
// of its client until it answers. Each returns the text of the last answer.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodResponsesFunction } from "openai/helpers/zod";
import { z } from "zod";

const City = z.object({ city: z.string() });
const Nothing = z.object({});
const MAX_ROUNDS = 6;

/** `weather` is a function of a city, `now` one without parameters. */
export async function runTools({ baseURL, key, stream, content, weather, now }) {
  const client = new OpenAI({ baseURL, apiKey: key });
  const runner = client.chat.completions.runTools({
    model: "openclaw",
    stream,
    messages: [{ role: "user", content }],
    tools: [
      {
        type: "function",
        function: {
          name: "get_weather",
          description: "Returns the weather.",
          parse: JSON.parse,
          parameters: { type: "object", properties: { city: { type: "string" } } },
          function: ({ city }) => weather(city),
        },
      },
      {
        type: "function",
        function: { name: "now", description: "Returns the time.", function: now },
      },
    ],
  });
  return runner.finalContent();
}

/** `chain` is whether `previous_response_id` names the earlier items, or they are sent again. */
export async function responses({ baseURL, key, stream, chain, content, weather, now }) {
  const client = new OpenAI({ baseURL, apiKey: key });
  const tools = [
    zodResponsesFunction({ name: "get_weather", parameters: City }),
    zodResponsesFunction({ name: "now", parameters: Nothing }),
  ];
  const request = { model: "openclaw", tools, input: [{ role: "user", content }] };
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const response = stream
      ? await client.responses.stream(request).finalResponse()
      : await client.responses.parse(request);
    const calls = response.output.filter(({ type }) => type === "function_call");
    if (calls.length === 0) return response.output_text;
    const outputs = calls.map(({ name, call_id, parsed_arguments: { city } }) => ({
      ...{ type: "function_call_output", call_id },
      output: name === "now" ? now() : weather(city),
    }));
    if (chain) request.previous_response_id = response.id;
    const shown = response.output.map(({ parsed_arguments, ...item }) => item);
    request.input = chain ? outputs : [...request.input, ...shown, ...outputs];
  }
}

const providers = {
  compatible: (options) =>
    createOpenAICompatible({ name: "clawfront", includeUsage: true, ...options })("openclaw"),
  responses: (options) => createOpenAI(options)("openclaw"),
  chat: (options) => createOpenAI(options).chat("openclaw"),
};

/** `provider` is one of the AI SDK's; with `output`, the answer is an object. */
export async function aiSdk({ baseURL, key, stream, provider, content, weather, now, output }) {
  const request = {
    model: providers[provider]({ baseURL, apiKey: key }),
    prompt: content,
    stopWhen: isStepCount(MAX_ROUNDS),
    output: output && Output.object({ schema: z.object({ answer: z.string() }) }),
    tools: {
      get_weather: tool({ inputSchema: City, execute: ({ city }) => weather(city) }),
      now: tool({ inputSchema: Nothing, execute: now }),
    },
  };
  const result = stream ? streamText(request) : await generateText(request);
  if (stream) await result.consumeStream();
  return output ? (await result.output).answer : await result.text;
}

const chatOf = ({ baseURL, key, useResponsesApi }) =>
  new ChatOpenAI({ model: "openclaw", apiKey: key, configuration: { baseURL }, useResponsesApi });

export async function langchain({ stream, content, weather, now, ...options }) {
  const tools = {
    get_weather: langchainTool(({ city }) => weather(city), { name: "get_weather", schema: City }),
    now: langchainTool(now, { name: "now", schema: Nothing }),
  };
  const chat = chatOf(options).bindTools(Object.values(tools));
  const messages = [new HumanMessage(content)];
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let answer;
    if (stream)
      for await (const chunk of await chat.stream(messages))
        answer = answer?.concat(chunk) ?? chunk;
    else answer = await chat.invoke(messages);
    if (answer.tool_calls.length === 0) return answer.text;
    messages.push(answer);
    for (const call of answer.tool_calls)
      messages.push(
        new ToolMessage({
          tool_call_id: call.id,
          content: await tools[call.name].invoke(call.args),
        }),
      );
  }
}

/** Returns an answer of the form `{ city }`, which LangChain asks for by one of its methods. */
export const langchainStructured = ({ content, method, ...options }) =>
  chatOf(options).withStructuredOutput(City, { name: "place", method }).invoke(content);
