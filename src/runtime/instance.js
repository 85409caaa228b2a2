// The state of this isolate's WebAssembly instance. worker-build's shim reads it before each call,
// and makes another instance after a panic.

export const state = { criticalError: false, instanceId: 0 };

/** Records that an instance has started. */
export function started() {
  state.instanceId += 1;
}

/** Records that the instance has panicked. */
export function panicked(message) {
  state.criticalError = true;
  console.error("Critical", new Error(`Rust panic: ${message}`));
}
