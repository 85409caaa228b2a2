// Shows the progress of steps: the name, the time it took, and a fix where it fails.

/**
 * Prints `▸ name`, runs `work`, prints `✓ name 1.2 s`. `work` gets a function that takes output
 * lines: the last one is shown while a step takes long. `fix` is shown where the work fails and its
 * error has no `fix`. A `quiet` step that takes less than a second prints nothing.
 */
export async function step(name, work, { fix, quiet = false } = {}) {
  const startedMs = performance.now();
  const seconds = () => ((performance.now() - startedMs) / 1000).toFixed(1);
  let lastLine = "";
  let hasSaid = false;
  const begin = () => {
    hasSaid = true;
    say(`${dim("▸")} ${name}`);
  };
  const delay = quiet ? setTimeout(begin, QUIET_MS) : begin();
  const heartbeat = setInterval(
    () =>
      say(
        dim(
          `  … ${name}, ${Math.round(seconds())} s${lastLine && `: ${lastLine.slice(0, LINE_LIMIT_CHARS)}`}`,
        ),
      ),
    HEARTBEAT_MS,
  );
  try {
    const result = await work((line) => (lastLine = line.trim() || lastLine));
    if (hasSaid) say(`${green("✓")} ${name} ${dim(`${seconds()} s`)}`);
    return result;
  } catch (error) {
    // Steps run side by side and within each other: only the innermost one reports.
    error.fix ??= fix;
    reportOnce(name, error);
    throw error;
  } finally {
    clearTimeout(delay);
    clearInterval(heartbeat);
  }
}

/** One line for work that needs no doing. */
export function skipped(name) {
  say(dim(`✓ ${name}, already there`));
}

/**
 * A failure whose message states the fact and whose `fix` is what to do; `output` is the output of
 * the failed program.
 */
export class Failure extends Error {
  constructor(what, { fix, output } = {}) {
    super(what);
    this.fix = fix;
    this.output = output;
  }
}

/** Reports an error that no step has reported yet. */
export function reportOnce(name, error) {
  if (!reported.has(error)) report(name, error);
}

/** Stops all output: after a signal everything that we end fails, which is not worth reporting. */
export const silence = () => (silenced = true);

/** Progress goes to standard error, because standard output has only what the user asked for. */
export function say(line) {
  if (!silenced) process.stderr.write(`${line}\n`);
}

export const dim = (text) => paint(2, text);
export const green = (text) => paint(32, text);
export const yellow = (text) => paint(33, text);
export const red = (text) => paint(31, text);
export const bold = (text) => paint(1, text);

/** A step that takes longer shows that it is still running. */
const HEARTBEAT_MS = 20_000;
const QUIET_MS = 1_000;
const LINE_LIMIT_CHARS = 80;
/** The end of a failed program's output is where the cause is. */
const OUTPUT_LIMIT_LINES = 60;

const reported = new WeakSet();
let silenced = false;

function report(name, error) {
  reported.add(error);
  if (error.output)
    say(dim(error.output.trimEnd().split("\n").slice(-OUTPUT_LIMIT_LINES).join("\n")));
  const cause = error instanceof Failure ? error.message : (error.stack ?? String(error));
  say(`${red("✗")} ${name}: ${cause}${error.fix ? ` ${bold("Fix:")} ${error.fix}` : ""}`);
}

function paint(code, text) {
  return process.stderr.isTTY && !process.env.NO_COLOR ? `\x1b[${code}m${text}\x1b[0m` : text;
}
