// Starts the simulated gateway.

import { SIM } from "../../scripts/paths.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";

/**
 * Starts a simulated gateway on free ports. It has a shared token, or a `password` instead;
 * `protocol` is its gateway protocol, `args` are further options of the program.
 * @returns `url` is the address for a Worker, `http` the address for the functions below, which
 *   read its journal of received frames and cause faults, and `log` is the program's output.
 */
export async function startSim({
  password,
  token = password ? undefined : "sim-token",
  protocol,
  args = [],
  binary = SIM,
} = {}) {
  const options = [
    "--json",
    "--exit-with-stdin",
    ...(protocol === undefined ? [] : ["--protocol", String(protocol)]),
    ...args,
  ];
  // It ends when its standard input does: even a test runner that is killed leaves none behind.
  const child = start(binary, options, {
    group: false,
    env: {
      ...process.env,
      ...(token && { SIM_TOKEN: token }),
      ...(password && { SIM_PASSWORD: password }),
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const log = [];
  collect(child.stderr, (line) => log.push(line));
  const firstLine = new Promise((resolve) =>
    collect(child.stdout, (line) => {
      log.push(line);
      resolve(line);
    }),
  );
  const line = await Promise.race([firstLine, child.ended]);
  if (typeof line !== "string")
    throw new Error(
      `the simulated gateway did not start (${line.error?.message ?? line.signal ?? line.code}):\n${log.join("\n")}`,
    );

  const { url, http, ...ready } = JSON.parse(line);
  return {
    ...ready,
    url,
    http,
    token,
    pid: child.pid,
    log,
    /** Returns the frames that it received, in order. */
    journal: () => ask(`${http}/sim/journal`),
    /** Forgets the journal and the faults. */
    reset: () => ask(`${http}/sim/reset`, {}),
    /** Makes the next `count` occasions of a fault happen. */
    fault: (name, count = 1) => ask(`${http}/sim/fault`, { fault: name, count }),
    /** Closes every connection; the runs go on. */
    drop: (code = null) => ask(`${http}/sim/drop`, { code }),
    /** Ends and forgets every run without a word, and cuts every connection. */
    crash: () => ask(`${http}/sim/crash`, {}),
    /** Lets the runs that stall, or that are not accepted yet, go on. */
    resume: () => ask(`${http}/sim/resume`, {}),
    /** Deletes the content of a session, as an administrator does. */
    resetSession: (sessionKey) => ask(`${http}/sim/session-reset`, { sessionKey }),
    stop: () => stop(child),
  };
}

async function ask(url, body) {
  const request = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(url, request);
  const answer = await response.text();
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status} ${answer}`);
  return answer ? JSON.parse(answer) : undefined;
}
