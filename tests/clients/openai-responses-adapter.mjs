// openai-node with the Responses API, as its users write it.

import OpenAI from "openai";
import { openaiAdapter } from "./openai-adapter.mjs";

const usageOf = (usage) => ({
  input: usage.input_tokens,
  output: usage.output_tokens,
  cached: usage.input_tokens_details.cached_tokens,
});

/** The reason in a chat completion's words. */
const finishOf = ({ status, incomplete_details: details }) =>
  status === "completed" ? "stop" : details?.reason === "max_output_tokens" ? "length" : status;

const inputOf = (text, image) =>
  image
    ? [
        {
          role: "user",
          content: [
            { type: "input_text", text },
            { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${image}` },
          ],
        },
      ]
    : text;

/** `options` are the client's own. Without any it tries once, so that tests see each answer. */
export function responsesAdapter({ baseURL, key, options = { maxRetries: 0 } }) {
  const client = new OpenAI({ baseURL, apiKey: key, ...options });
  return {
    models: openaiAdapter({ baseURL, key }).models,
    ask: async ({
      content,
      stream = false,
      model = "openclaw",
      image,
      user,
      session,
      leaveAfter,
    }) => {
      const request = { model, input: inputOf(content, image), ...(user && { user }) };
      const options = { headers: session ? { "x-openclaw-session-key": session } : {} };
      if (!stream) {
        const response = await client.responses.create(request, options);
        return {
          text: response.output_text,
          finish: finishOf(response),
          usage: usageOf(response.usage),
        };
      }
      const events = client.responses.stream(request, options);
      let text = "";
      for await (const event of events) {
        if (event.type === "response.output_text.delta") text += event.delta;
        if (leaveAfter && text.length >= leaveAfter) return { text };
      }
      // The response that the SDK has built from the events.
      const response = await events.finalResponse();
      return {
        text: response.output_text,
        finish: finishOf(response),
        usage: usageOf(response.usage),
      };
    },
  };
}
