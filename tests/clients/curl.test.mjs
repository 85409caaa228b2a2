// curl, as the program on the PATH.

import { collect, run, start, stop } from "../../scripts/processes.mjs";
import { contract, thrown } from "../support/clients.mjs";
import { contentOf, usageOf } from "./openai-adapter.mjs";

contract("curl", {
  adapter: ({ baseURL, key }) => ({
    models: async () => JSON.parse(await curl(key, [`${baseURL}/models`])).data.map(({ id }) => id),
    ask: async ({ content, stream = false, model = "openclaw", image, user, session, leaveAfter }) => {
      const body = { model, stream, messages: [{ role: "user", content: contentOf(content, image) }], ...(stream && { stream_options: { include_usage: true } }), ...(user && { user }) };
      const args = [`${baseURL}/chat/completions`, "--header", "content-type: application/json", "--data", JSON.stringify(body)];
      if (session) args.push("--header", `x-openclaw-session-key: ${session}`);
      if (!stream) {
        const { choices, usage } = JSON.parse(await curl(key, args));
        return { text: choices[0].message.content, finish: choices[0].finish_reason, usage: usageOf(usage) };
      }
      return streamed(key, args, leaveAfter);
    },
  }),
  names: { 401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded" },
});

/** Runs curl to its end; an answer with an error's status is thrown as what its body says. */
async function curl(key, args) {
  const output = await run("curl", ["--silent", "--show-error", "--header", `authorization: Bearer ${key}`, "--write-out", "\n%{http_code}", ...args]);
  const end = output.lastIndexOf("\n");
  const body = output.slice(0, end);
  const status = Number(output.slice(end + 1));
  const { error } = JSON.parse(body);
  if (error) throw thrown({ name: error.code, status, message: error.message });
  return body;
}

/** What a shell script does with a stream: it reads lines as they come, and an interrupt ends curl. */
async function streamed(key, args, leaveAfter) {
  const answer = { text: "", finish: null, usage: null };
  let failure;
  const child = start("curl", ["--silent", "--show-error", "--no-buffer", "--header", `authorization: Bearer ${key}`, "--write-out", "\n%{http_code}\n", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = [];
  collect(child.stdout, (line) => {
    lines.push(line);
    if (!line.startsWith("data: {")) return;
    const { error, choices, usage } = JSON.parse(line.slice("data: ".length));
    failure ??= error;
    if (usage) answer.usage = usageOf(usage);
    for (const { delta, finish_reason } of choices ?? []) {
      answer.text += delta.content ?? "";
      answer.finish = finish_reason ?? answer.finish;
    }
    if (leaveAfter && answer.text.length >= leaveAfter) stop(child);
  });
  await child.ended;
  const status = Number(lines.at(-1));
  if (status >= 400) failure = JSON.parse(lines[0]).error;
  if (failure) throw thrown({ name: failure.code, status, message: failure.message });
  return answer;
}
