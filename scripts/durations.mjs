// A reporter for node's test runner: one line of JSON for each test file, with how long it took,
// and one for each test that failed. `suites.mjs` names the slowest files, and all failures.

export default async function* durations(events) {
  /** Files that run in one process have no summary of their own: theirs is made here. */
  const files = new Map();
  for await (const { type, data } of events) {
    if (type === "test:summary" && data.file) {
      files.delete(data.file);
      yield line(data.file, data.duration_ms, data.counts);
    }
    if (type === "test:fail" && data.details.error?.failureType !== "subtestsFailed")
      yield `${JSON.stringify({ file: data.file, failed: data.name, why: reason(data.details.error) })}\n`;
    if ((type === "test:pass" || type === "test:fail") && data.file) {
      if (!files.has(data.file)) files.set(data.file, { ms: 0, counts: { ...NONE } });
      add(files.get(data.file), data, type === "test:pass");
    }
  }
  for (const [file, { ms, counts }] of files) yield line(file, ms, counts);
}

/** Most characters of a failure's message: the runner's own output has all of it. */
const REASON_CHARS = 600;

function reason(error) {
  const message = error?.cause?.message ?? error?.message ?? "";
  return String(message).slice(0, REASON_CHARS);
}

const NONE = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };

/** Counts a test as the runner's own summary does. */
function add(file, { nesting, details, skip, todo }, isPassed) {
  if (nesting === 0) file.ms += details.duration_ms;
  if (details.type === "suite") {
    file.counts.suites += 1;
    return;
  }
  file.counts.tests += 1;
  if (skip !== undefined) file.counts.skipped += 1;
  else if (todo !== undefined) file.counts.todo += 1;
  else if (isPassed) file.counts.passed += 1;
  else if (CANCELLED.has(details.error?.failureType)) file.counts.cancelled += 1;
  else file.counts.failed += 1;
}

const CANCELLED = new Set(["cancelledByParent", "testAborted", "testTimeoutFailure"]);

const line = (file, ms, counts) => `${JSON.stringify({ file, ms: Math.round(ms), counts })}\n`;
