// The time to the first token that an edge adds, in front of a real OpenClaw gateway: through us,
// through a Worker that only hands on, and asked directly; with the gateway next door, and a round
// trip of 40 ms away.

import { connect, createServer } from "node:net";
import { newKey } from "../tests/support/front.mjs";
import { startOpenClawFront, version } from "../tests/support/openclaw.mjs";
import { startWorker } from "../tests/support/worker.mjs";
import { stream } from "./load.mjs";
import { median, percentile, round } from "./statistics.mjs";

export const name = "ttft";

const REQUESTS = 40;
const WARM_UP = 5;
const ROUND_TRIP_MS = 40;

export async function measure({ quick, builds, say }) {
  const requests = quick ? 2 : REQUESTS;
  const key = newKey("bench", "main", "--default", "main");
  const cleanUp = [];
  try {
    const front = await startOpenClawFront({ entries: [key.entry] });
    cleanUp.push(front.stop);
    const rows = [];
    for (const roundTripMs of [0, ROUND_TRIP_MS]) {
      const line = await startLine(Number(new URL(front.tunnel.url).port), roundTripMs / 2);
      cleanUp.push(line.stop);
      const keys = {
        CLIENT_KEYS: key.entry,
        DEVICE_KEY: front.device.device_key,
        DEVICE_TOKEN: front.device.device_token,
      };
      const ours = await startWorker({
        ...builds.ours,
        vars: { ...keys, GATEWAY_URL: `ws://127.0.0.1:${line.port}` },
      });
      const pass = await startWorker({
        ...builds.jsPass,
        vars: { ORIGIN: `http://127.0.0.1:${line.port}` },
      });
      cleanUp.push(ours.stop, pass.stop);
      const contestants = [
        {
          label: "asked directly",
          url: `http://127.0.0.1:${line.port}`,
          key: front.token,
          log: [],
        },
        Object.assign(pass, { label: "through a Worker that hands on", key: front.token }),
        Object.assign(ours, { label: "through Clawfront", key: key.key }),
      ];
      for (const contestant of contestants) contestant.headers = { "x-openclaw-agent-id": "main" };
      const firstMs = contestants.map(() => []);
      // In turn, so that a disturbance of the machine affects all of them.
      for (let nth = -WARM_UP; nth < requests; nth += 1) {
        for (const [index, contestant] of contestants.entries()) {
          const answer = await stream(contestant, "hi [[fake deltas=2 delay=0]]");
          if (nth >= 0) firstMs[index].push(answer.firstMs);
        }
      }
      say(
        `  a round trip of ${roundTripMs} ms: ${firstMs.map((values) => median(values).toFixed(0)).join(", ")} ms`,
      );
      const where = `${roundTripMs} ms away`;
      for (const [index, { label }] of contestants.entries()) {
        for (const share of [0.5, 0.95, 0.99]) {
          rows.push({
            label: `${where}, ${label}, p${share * 100}`,
            value: round(percentile(firstMs[index], share)),
            unit: "ms",
          });
        }
      }
      const added = firstMs[2].map((value, nth) => value - firstMs[1][nth]);
      rows.push({
        label: `${where}, what we take beyond handing on, median`,
        value: round(median(added)),
        unit: "ms",
      });
    }
    return {
      title: `Time to the first token, OpenClaw ${version}`,
      rows,
      notes: [
        `${requests} requests each, in turn. Most of the time is the gateway's own: its model is scripted and answers at once.`,
        `The distance is a proxy that holds back what passes it by ${ROUND_TRIP_MS / 2} ms each way, and the first bytes of a connection by a round trip more, as TCP's handshake does. All keep their connections open: ours is the hub's, which all requests share.`,
      ],
      plot: {
        unit: "ms",
        bars: rows
          .filter(({ label }) => label.endsWith("p50"))
          .map(({ label, value }) => ({ label: label.replace(", p50", ""), value })),
      },
    };
  } finally {
    for (const stop of cleanUp.reverse()) await stop();
  }
}

/** A line to `port` that takes `delayMs` each way. */
function startLine(port, delayMs) {
  const sockets = new Set();
  const server = createServer((client) => {
    const origin = connect(port, "127.0.0.1");
    for (const [from, to, setUpMs] of [
      [client, origin, 2 * delayMs],
      [origin, client, 0],
    ]) {
      sockets.add(from);
      from.setNoDelay(true);
      // The order is kept: bytes that arrive during the set-up are sent after it.
      const openAt = performance.now() + setUpMs;
      const after = (act) => {
        const dueMs = Math.max(openAt, performance.now()) + delayMs - performance.now();
        if (delayMs === 0) act();
        else setTimeout(act, dueMs);
      };
      from.on("data", (bytes) => after(() => to.writable && to.write(bytes)));
      from.on("end", () => after(() => to.end()));
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        after(() => to.destroy());
      });
    }
  });
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () =>
      resolve({
        port: server.address().port,
        stop: () => {
          for (const socket of sockets) socket.destroy();
          return new Promise((done) => server.close(done));
        },
      }),
    ),
  );
}
