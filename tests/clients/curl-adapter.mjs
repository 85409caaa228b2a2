// curl, as the program on the PATH.

import { start, stop } from "../../scripts/processes.mjs";
import { thrown } from "../support/thrown.mjs";
import { contentOf, usageOf } from "./openai-adapter.mjs";

export const curlAdapter = ({ baseURL, key }) => ({
  models: async () => JSON.parse(await curl(key, [`${baseURL}/models`])).data.map(({ id }) => id),
  ask: async ({
    content,
    stream = false,
    model = "openclaw",
    image,
    user,
    session,
    leaveAfter,
  }) => {
    const body = {
      model,
      stream,
      messages: [{ role: "user", content: contentOf(content, image) }],
      ...(stream && { stream_options: { include_usage: true } }),
      ...(user && { user }),
    };
    const args = [
      `${baseURL}/chat/completions`,
      "--header",
      "content-type: application/json",
      "--data",
      JSON.stringify(body),
    ];
    if (session) args.push("--header", `x-openclaw-session-key: ${session}`);
    if (!stream) {
      const { choices, usage } = JSON.parse(await curl(key, args));
      return {
        text: choices[0].message.content,
        finish: choices[0].finish_reason,
        usage: usageOf(usage),
      };
    }
    return streamed(key, args, leaveAfter);
  },
});

const WITH_STATUS = ["--silent", "--show-error", "--no-buffer", "--write-out", "\n%{http_code}\n"];

/** Runs curl to its end. On an error status it throws the error that the body has. */
async function curl(key, args) {
  let body = "";
  const status = await lines(key, args, (line) => (body += line));
  const { error } = JSON.parse(body);
  if (error) throw thrown({ name: error.code, status, message: error.message });
  return body;
}

/** Reads a stream as a shell script does: line by line as it arrives; an interrupt ends curl. */
async function streamed(key, args, leaveAfter) {
  const answer = { text: "", finish: null, usage: null };
  let failure;
  const status = await lines(key, args, (line, child) => {
    if (line.startsWith("{")) failure ??= JSON.parse(line).error;
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
  if (failure) throw thrown({ name: failure.code, status, message: failure.message });
  return answer;
}

/**
 * Calls `line` for each line of the body, and returns the status. Lines end with a line feed:
 * Node's own reader of lines knows further ends.
 */
async function lines(key, args, line) {
  const child = start(
    "curl",
    [...WITH_STATUS, "--header", `authorization: Bearer ${key}`, ...args],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let rest = "";
  let last;
  for await (const text of child.stdout.setEncoding("utf8")) {
    const whole = (rest + text).split("\n");
    rest = whole.pop();
    for (const next of whole) {
      if (last !== undefined) line(last, child);
      last = next;
    }
  }
  await child.ended;
  return Number(last);
}
