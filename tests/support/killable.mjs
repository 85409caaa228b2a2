// Starts a Worker that can be killed without notice and started again over the same storage.

import { temporaryFolder } from "./folder.mjs";
import { startFront } from "./front.mjs";

/** Starts a front whose Worker can be killed and started again: `kill` returns the next one. */
export async function startKillable(options) {
  const front = await startFront({ storage: temporaryFolder("hub"), ...options });
  const others = [];
  return {
    ...front,
    runs: async () => (await front.sim.journal()).runs,
    ends: async () => (await front.sim.journal()).runs.map(({ ended }) => ended),
    kill: async (worker, { vars, meanwhile } = {}) => {
      process.kill(worker.pid, "SIGKILL");
      await meanwhile?.();
      const other = await front.another(vars);
      others.push(other);
      return other;
    },
    stop: async () => {
      for (const other of others) await other.stop();
      await front.stop();
    },
  };
}

/** Runs a test with such a front. */
export const withKillable = (options, body) => async () => {
  const front = await startKillable(options);
  try {
    await body(front);
  } finally {
    await front.stop();
  }
};
