// Runs a command of package.json to its end: reports a failure, ends what was started, and sets the
// exit code.

import { isEnding, stopAll } from "./processes.mjs";
import { reportOnce } from "./steps.mjs";

/** Runs `main`. Where it fails, `name` is shown before the reason, and the exit code is 1. */
export async function runCommand(name, main) {
  try {
    await main();
  } catch (error) {
    // After a signal `processes.mjs` ends this process, with the code of that signal.
    if (isEnding()) return;
    reportOnce(name, error);
    await stopAll();
    process.exit(1);
  }
}
