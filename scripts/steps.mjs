// Says what is being done, how long it took, and, where it fails, what to do about it.

/**
 * Prints `▸ name`, runs `work`, prints `✓ name 1.2 s`. `work` gets a function that takes output lines: the last one is shown while a
 * step takes long. `mend` is said where the work fails and does not know better.
 */
export async function step(name, work, { mend } = {}) {
  const startedMs = performance.now();
  const seconds = () => ((performance.now() - startedMs) / 1000).toFixed(1);
  let lastLine = "";
  say(`${dim("▸")} ${name}`);
  const heartbeat = setInterval(
    () => say(dim(`  … ${name}, ${Math.round(seconds())} s${lastLine && `: ${lastLine.slice(0, LINE_LIMIT_CHARS)}`}`)),
    HEARTBEAT_MS,
  );
  try {
    const result = await work((line) => (lastLine = line.trim() || lastLine));
    say(`${green("✓")} ${name} ${dim(`${seconds()} s`)}`);
    return result;
  } catch (error) {
    // Steps run side by side and within each other: only the innermost one reports.
    error.mend ??= mend;
    reportOnce(name, error);
    throw error;
  } finally {
    clearInterval(heartbeat);
  }
}

/** One line for work that needs no doing. */
export function skipped(name) {
  say(dim(`✓ ${name}, already there`));
}

/** A failure whose message says what is wrong and whose `mend` says what to do; `output` is what the failed program printed. */
export class Failure extends Error {
  constructor(what, { mend, output } = {}) {
    super(what);
    this.mend = mend;
    this.output = output;
  }
}

/** Reports an error that no step has reported yet. */
export function reportOnce(name, error) {
  if (!reported.has(error)) report(name, error);
}

/** From here on nothing is news: we were told to end, and what we end fails. */
export const silence = () => (silenced = true);

/** Progress goes to standard error: standard output carries only what the user asked for. */
export function say(line) {
  if (!silenced) process.stderr.write(`${line}\n`);
}

export const dim = (text) => paint(2, text);
export const green = (text) => paint(32, text);
export const red = (text) => paint(31, text);
export const bold = (text) => paint(1, text);

/** A step that takes longer says so, so that nobody thinks it hangs. */
const HEARTBEAT_MS = 20_000;
const LINE_LIMIT_CHARS = 80;
/** The end of a failed program's output is where the cause is. */
const OUTPUT_LIMIT_LINES = 60;

const reported = new WeakSet();
let silenced = false;

function report(name, error) {
  reported.add(error);
  if (error.output) say(dim(error.output.trimEnd().split("\n").slice(-OUTPUT_LIMIT_LINES).join("\n")));
  const cause = error instanceof Failure ? error.message : (error.stack ?? String(error));
  say(`${red("✗")} ${name}: ${cause}${error.mend ? ` ${bold("To mend it:")} ${error.mend}` : ""}`);
}

function paint(code, text) {
  return process.stderr.isTTY && !process.env.NO_COLOR ? `\x1b[${code}m${text}\x1b[0m` : text;
}
