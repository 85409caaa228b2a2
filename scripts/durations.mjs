// A reporter for node's test runner: one line of JSON for each test file, with how long it took.
// `test.mjs` names the slowest.

export default async function* durations(events) {
  for await (const { type, data } of events) {
    if (type === "test:summary" && data.file)
      yield `${JSON.stringify({ file: data.file, ms: Math.round(data.duration_ms), counts: data.counts })}\n`;
  }
}
