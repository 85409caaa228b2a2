// Vercel's AI SDK as its users write it, with both providers that people point at a URL of their
// own.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import { thrown } from "../support/thrown.mjs";

export function compatibleAdapter({ baseURL, key }) {
  const provider = createOpenAICompatible({
    name: "clawfront",
    baseURL,
    apiKey: key,
    includeUsage: true,
  });
  return asking((model) => provider(model), "clawfront");
}

export function providerAdapter({ baseURL, key }) {
  const provider = createOpenAI({ baseURL, apiKey: key });
  return asking((model) => provider.chat(model), "openai");
}

/** The default of the provider: the Responses API. */
export function defaultAdapter({ baseURL, key }) {
  const provider = createOpenAI({ baseURL, apiKey: key });
  return asking((model) => provider(model), "openai");
}

function asking(modelOf, provider) {
  return {
    ask: async ({
      content,
      stream = false,
      model = "openclaw",
      image,
      user,
      session,
      leaveAfter,
    }) => {
      const request = {
        model: modelOf(model),
        messages: [
          {
            role: "user",
            content: image
              ? [
                  { type: "text", text: content },
                  { type: "file", data: image, mediaType: "image/png" },
                ]
              : content,
          },
        ],
        headers: session && { "x-openclaw-session-key": session },
        providerOptions: user && { [provider]: { user } },
        maxRetries: 0,
      };
      try {
        if (!stream) {
          const { text, finishReason, usage } = await generateText(request);
          return { text, finish: finishReason, usage: usageOf(usage) };
        }
        const controller = new AbortController();
        const failures = [];
        const result = streamText({
          ...request,
          abortSignal: controller.signal,
          onError: ({ error }) => failures.push(error),
        });
        let text = "";
        for await (const part of result.textStream) {
          text += part;
          if (leaveAfter && text.length >= leaveAfter) {
            controller.abort();
            return { text };
          }
        }
        if (failures.length > 0) throw failures[0];
        return { text, finish: await result.finishReason, usage: usageOf(await result.usage) };
      } catch (error) {
        throw thrown({
          name: error.constructor.name,
          status: error.statusCode,
          message: error.message,
        });
      }
    },
  };
}

const usageOf = ({ inputTokens, outputTokens, inputTokenDetails }) => ({
  input: inputTokens,
  output: outputTokens,
  cached: inputTokenDetails.cacheReadTokens,
});
