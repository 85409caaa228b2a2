// A soak of seconds, so that `npm run soak` works when it is wanted: some hundred calls with
// faults, of which every end must be explained.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call } from "../../soak/calls.mjs";
import { soak } from "../../soak/soak.mjs";

const RUNS = 150;

test("a seed gives the same calls again, and another one others", () => {
  const calls = (seed) =>
    JSON.stringify(
      Array.from({ length: 50 }, (_, number) => call(number, { seed, protocol: 4, silence: true })),
    );
  assert.equal(calls(1), calls(1));
  assert.notEqual(calls(1), calls(2));
});

for (const protocol of [4, 3]) {
  test(`a short soak, protocol ${protocol}`, async () => {
    // A fault ends all calls on the connection whose runs were not accepted, so few share it: most
    // are answered in any case.
    const seen = await soak({ protocol, runs: RUNS, concurrency: 10, seed: 1, silence: false });
    assert.deepEqual(seen.problems, []);
    assert.equal(seen.calls, RUNS);
    assert.ok(seen.started > RUNS / 2 && seen.ends.answer > RUNS / 2, JSON.stringify(seen.ends));
  });
}
