// Takes the time of a Worker's code on its isolate's thread, by V8's own sampling profiler.

export const SAMPLING_US = 100;
/**
 * A longer pause between two samples is not our work: the machine was busy with something else, or
 * idle.
 */
const STALL_US = 3_000;
/** Of one round. */
const ATTEMPTS = 20;

/**
 * The parts, and V8's names for their frames. The rest of the Worker is JavaScript: that of
 * wasm-bindgen, and ours.
 */
export const PARTS = {
  "the runtime's own code": ({ functionName }) => functionName === "(program)",
  "garbage collection": ({ functionName }) => functionName === "(garbage collector)",
  WebAssembly: ({ url }) => url.startsWith("wasm://"),
  JavaScript: ({ functionName }) => functionName !== "(idle)",
};

/**
 * Returns the time that `work` takes in each part, in microseconds, in this isolate of the worker:
 * `main` or `edge`. Of a time in which the machine let the thread work: under a heavy load all
 * samples can be too far apart.
 */
export async function profiled({ inspector }, isolate, work) {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const us = await profiledOnce(inspector, isolate, work);
    if (Object.values(us).some((value) => value > 0)) return us;
  }
  throw new Error("this machine has too much else to do: the profiler saw nothing of the work");
}

async function profiledOnce(port, isolate, work) {
  const isolates = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const { webSocketDebuggerUrl } = isolates.find(({ id }) => id === isolate);
  const devTools = await openDevTools(webSocketDebuggerUrl);
  try {
    await devTools.call("Profiler.enable");
    await devTools.call("Profiler.setSamplingInterval", { interval: SAMPLING_US });
    await devTools.call("Profiler.start");
    await work();
    const { profile } = await devTools.call("Profiler.stop");
    return timesOf(profile);
  } finally {
    devTools.close();
  }
}

function timesOf({ nodes, samples, timeDeltas }) {
  const partOf = new Map(
    nodes.map(({ id, callFrame }) => [
      id,
      Object.keys(PARTS).find((part) => PARTS[part](callFrame)),
    ]),
  );
  const us = Object.fromEntries(Object.keys(PARTS).map((part) => [part, 0]));
  for (const [index, id] of samples.entries()) {
    const part = partOf.get(id);
    if (part && timeDeltas[index] <= STALL_US) us[part] += timeDeltas[index];
  }
  return us;
}

/** The DevTools protocol: a request, and the answer that has its number. */
async function openDevTools(url) {
  const socket = new WebSocket(url);
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const call = waiting.get(id);
    if (!call) return;
    waiting.delete(id);
    if (error) call.reject(new Error(error.message));
    else call.resolve(result);
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("the runtime's inspector does not answer"));
  });
  socket.onclose = () => {
    for (const { reject } of waiting.values()) reject(new Error("the runtime's inspector is gone"));
  };
  let last = 0;
  return {
    call: (method, params = {}) =>
      new Promise((resolve, reject) => {
        last += 1;
        waiting.set(last, { resolve, reject });
        socket.send(JSON.stringify({ id: last, method, params }));
      }),
    close: () => socket.close(),
  };
}
