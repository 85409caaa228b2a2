// openai-node as its users write it, in Node as in a page.

import OpenAI from "openai";

/** Usage in OpenAI's names, as the tests name it. */
export const usageOf = (usage) => ({
  input: usage.prompt_tokens,
  output: usage.completion_tokens,
  cached: usage.prompt_tokens_details.cached_tokens,
});

/** Returns a user's message, with an image (base64 of a PNG) if there is one. */
export const contentOf = (text, image) =>
  image
    ? [
        { type: "text", text },
        { type: "image_url", image_url: { url: `data:image/png;base64,${image}` } },
      ]
    : text;

/** `options` are the client's own. Without any it tries once, so that tests see each answer. */
export function openaiAdapter({ baseURL, key, options = { maxRetries: 0 } }) {
  const client = new OpenAI({ baseURL, apiKey: key, ...options });
  return {
    models: async () => {
      const ids = [];
      for await (const { id } of client.models.list()) ids.push(id);
      return ids;
    },
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
        model,
        messages: [{ role: "user", content: contentOf(content, image) }],
        ...(user && { user }),
      };
      const headers = session ? { "x-openclaw-session-key": session } : {};
      if (!stream) {
        const { choices, usage } = await client.chat.completions.create(request, { headers });
        return {
          text: choices[0].message.content,
          finish: choices[0].finish_reason,
          usage: usageOf(usage),
        };
      }
      const answer = { text: "", finish: null, usage: null };
      const chunks = await client.chat.completions.create(
        { ...request, stream: true, stream_options: { include_usage: true } },
        { headers },
      );
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
}
