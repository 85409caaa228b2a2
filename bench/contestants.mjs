// Workers side by side in front of one simulated gateway.

import { newDevice, newKey } from "../tests/support/front.mjs";
import { startSim } from "../tests/support/sim.mjs";
import { startWorker } from "../tests/support/worker.mjs";

/**
 * Starts a gateway and a Worker in a workerd of its own for each of `names`, which are those of `builds`; `work` gets
 * `{ sim, workers, key }`. `entries` are further client keys. All are ended afterwards, however it goes. The gateway paces nothing by itself unless `pacingMs` says so.
 */
export async function withContestants(names, { builds, simBinary, protocol = 4, pacingMs = 0, entries = [] }, work) {
  const sim = await startSim({ protocol, binary: simBinary, args: ["--pacing-ms", String(pacingMs)] });
  const workers = {};
  try {
    const key = newKey("bench", "main", "--default", "main");
    const device = newDevice();
    for (const name of names) {
      const given = { GATEWAY_URL: sim.url, GATEWAY_TOKEN: sim.token, DEVICE_KEY: device.device_key, CLIENT_KEYS: [key.entry, ...entries].join("\n") };
      const worker = await startWorker({ ...builds[name], vars: given });
      workers[name] = Object.assign(worker, { label: name, key: key.key });
    }
    return await work({ sim, workers, key: key.key });
  } finally {
    await Promise.all(Object.values(workers).map((worker) => worker.stop()));
    await sim.stop();
  }
}
