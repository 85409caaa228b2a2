// LangChain for JavaScript as its users write it.

import { HumanMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { contentOf } from "./openai-adapter.mjs";

export const langchainAdapter = ({ baseURL, key }) => ({
  ask: async ({
    content,
    stream = false,
    model = "openclaw",
    image,
    user,
    session,
    leaveAfter,
  }) => {
    const chat = new ChatOpenAI({
      model,
      apiKey: key,
      configuration: { baseURL, defaultHeaders: session && { "x-openclaw-session-key": session } },
      maxRetries: 0,
      user,
    });
    const message = new HumanMessage({ content: contentOf(content, image) });
    if (!stream) return answerOf(await chat.invoke([message]));
    let said;
    for await (const chunk of await chat.stream([message])) {
      said = said?.concat(chunk) ?? chunk;
      if (leaveAfter && said.text.length >= leaveAfter) break;
    }
    return answerOf(said);
  },
});

const answerOf = ({ text, response_metadata: { finish_reason }, usage_metadata: usage }) => ({
  text,
  finish: finish_reason,
  usage: usage && {
    input: usage.input_tokens,
    output: usage.output_tokens,
    cached: usage.input_token_details.cache_read,
  },
});
