// openai-node.

import OpenAI from "openai";
import { contract, usageOf } from "../support/clients.mjs";

contract("openai-node", {
  adapter: ({ baseURL, key }) => {
    const client = new OpenAI({ baseURL, apiKey: key, maxRetries: 0 });
    return {
      models: async () => {
        const ids = [];
        for await (const { id } of client.models.list()) ids.push(id);
        return ids;
      },
      ask: async ({ content, stream = false, model = "openclaw", image, user, session, leaveAfter }) => {
        const request = {
          model,
          messages: [{ role: "user", content: image ? [{ type: "text", text: content }, { type: "image_url", image_url: { url: `data:image/png;base64,${image}` } }] : content }],
          ...(user && { user }),
        };
        const options = { headers: session && { "x-openclaw-session-key": session } };
        if (!stream) {
          const { choices, usage } = await client.chat.completions.create(request, options);
          return { text: choices[0].message.content, finish: choices[0].finish_reason, usage: usageOf(usage) };
        }
        const answer = { text: "", finish: null, usage: null };
        const chunks = await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }, options);
        for await (const { choices, usage } of chunks) {
          if (usage) answer.usage = usageOf(usage);
          for (const { delta, finish_reason } of choices) {
            answer.text += delta.content ?? "";
            answer.finish = finish_reason ?? answer.finish;
          }
          if (leaveAfter && answer.text.length >= leaveAfter) break;
        }
        return answer;
      },
    };
  },
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
});
