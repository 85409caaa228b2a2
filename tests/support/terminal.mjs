// Runs a command at a terminal and answers its questions.

import { join } from "node:path";
import { ROOT } from "../../scripts/paths.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";
import { PYTHON, pythonEnvironment } from "../../scripts/python.mjs";

const TERMINAL = join(ROOT, "tests/support/terminal.py");

/** The longest time between an answer and the next question. */
const LIMIT_MS = 60_000;

/**
 * Runs a command at a terminal. `answers` are pairs: a text or expression that the output must
 * have after the last answer, and the line that is then typed. `hidden` matches a question whose
 * answer the terminal does not show.
 * @returns `{ code, output }`, the output as a person saw it.
 */
export async function atTerminal(command, args, answers, { cwd, env, hidden = /not shown/ }) {
  const child = start(PYTHON, [TERMINAL, command, ...args], {
    cwd,
    env: { ...pythonEnvironment(), ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let output = "";
  let wake = () => {};
  const take = (text) => {
    output += text;
    wake();
  };
  child.stdout.setEncoding("utf8").on("data", take);
  collect(child.stderr, (line) => take(`${line}\n`));
  child.stdin.on("error", () => {});
  let isOver = false;
  const ended = child.ended.then((end) => {
    isOver = true;
    return end;
  });
  try {
    let from = 0;
    for (const [question, answer] of answers) {
      const until = Date.now() + LIMIT_MS;
      // A question ends in a blank, and the text before it in a line end. An answer that is typed
      // too early is echoed.
      const isAsked = () =>
        output.endsWith(" ") &&
        (typeof question === "string"
          ? output.slice(from).includes(question)
          : question.test(output.slice(from)));
      while (!isAsked()) {
        if (isOver || Date.now() > until) throw new Error(`it did not ask ${question}:\n${output}`);
        await Promise.race([
          ended,
          new Promise((resolve) => {
            wake = resolve;
            setTimeout(resolve, 1000);
          }),
        ]);
      }
      const isHidden = hidden.test(output.slice(output.lastIndexOf("\n", output.length) + 1));
      from = output.length;
      child.stdin.write(`${JSON.stringify({ text: `${answer}\n`, hidden: isHidden })}\n`);
    }
    const { code } = await ended;
    return { code, output: output.replaceAll("\r\n", "\n") };
  } finally {
    await stop(child);
  }
}
