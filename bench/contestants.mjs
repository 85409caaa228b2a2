// Workers side by side, in front of simulated gateways.

import { newDevice, newKey } from "../tests/support/front.mjs";
import { startSim } from "../tests/support/sim.mjs";
import { startWorker } from "../tests/support/worker.mjs";

/**
 * Starts a Worker in its own workerd for each of `names`, which are names in `builds`, and a
 * gateway: one for all Workers, or one for each where `apart` is set, because a gateway sends
 * events of every run to every connection. `work` gets `{ workers, sims }`; each worker has a
 * `label`, `key` and `sim`. `entries` are further client keys, `vars` further settings. The runtime
 * of `inspected` workers can be inspected. The gateways pace nothing by themselves, and without
 * `tasks` send no events of tasks. All are stopped afterwards, also after a failure.
 */
export async function withContestants(
  names,
  {
    builds,
    simBinary,
    protocol = 4,
    apart = false,
    tasks = true,
    inspected = false,
    entries = [],
    vars: more = {},
  },
  work,
) {
  const sims = [];
  const workers = {};
  const open = async () => {
    const sim = await startSim({
      protocol,
      binary: simBinary,
      args: ["--pacing-ms", "0", ...(tasks ? [] : ["--no-tasks"])],
    });
    sims.push(sim);
    return sim;
  };
  try {
    const key = newKey("bench", "main", "--default", "main");
    const device = newDevice();
    for (const name of names) {
      const sim = !apart && sims.length > 0 ? sims[0] : await open();
      const vars = {
        GATEWAY_URL: sim.url,
        GATEWAY_TOKEN: sim.token,
        DEVICE_KEY: device.device_key,
        CLIENT_KEYS: [key.entry, ...entries].join("\n"),
        ...more,
      };
      const worker = await startWorker({ ...builds[name], vars, inspected });
      workers[name] = Object.assign(worker, { label: name, key: key.key, sim });
    }
    return await work({ workers, sims });
  } finally {
    await Promise.all(Object.values(workers).map((worker) => worker.stop()));
    await Promise.all(sims.map((sim) => sim.stop()));
  }
}
