// Ends the requests of the hub after its WebAssembly instance has panicked: nothing of that
// instance may run again, so all of this happens outside of it. A handler that fails shows a panic
// at once, the probe shows any other within a second.

/** The guards of all requests that are going. */
const guards = new Set();

/** The socket over which their runs are stopped. */
let link;

export function setLink(socket) {
  link = socket;
}

/** The guards of the object's own events. */
const owners = [];

/** Drops the socket of an instance that is gone, with its events and its timers. */
function dropLink() {
  for (const guard of owners.splice(0)) guard.release();
  try {
    link?.close(1000);
  } catch {
    // It was closed already.
  }
  link = undefined;
}

/**
 * The hub's object of this isolate. After a panic it has one entry more, because the next call of
 * the instance makes the object again, beside the requests of the dead one.
 */
const objects = [];

/**
 * Resets this Durable Object after a panic, because requests that wait for the dead instance would
 * wait for ever. The edge ends their streams in an error, and the next request gets a new object.
 * `probe` calls the instance: it fails if the edge, which may share it, has panicked.
 */
export function watch(state, probe) {
  if (objects.some((other) => other.state !== state)) {
    // The platform took away the object before, with its timers and its requests.
    guards.clear();
    timer = undefined;
  }
  if (guards.size === 0) {
    // Nothing waits for the instance before this one.
    objects.length = 0;
    dropLink();
  }
  objects.push({ state, probe });
}

/** Called within the events of the object, because no other may touch its sockets and bodies. */
function reset() {
  for (const guard of guards) guard.cut();
  dropLink();
  clearTimeout(timer);
  timer = undefined;
  for (const { state } of objects.splice(0)) {
    state.storage.kv.put("panic", 1);
    // Never at once: this may be a part of a call into WebAssembly, which an abort would leave
    // unfinished for good.
    setTimeout(() => state.abort("panic"), 0);
  }
}

/** Time between two calls of the probe, while there are requests. */
const PROBE_MS = 1000;
let timer;

function probeLater() {
  timer ??= setTimeout(() => {
    timer = undefined;
    if (guards.size === 0) return;
    try {
      for (const { probe } of objects) probe();
      probeLater();
    } catch {
      reset();
    }
  }, PROBE_MS);
}

export class PanicGuard {
  /** A guard with an empty id leaves no line in the log, one without is not a request's. */
  constructor(requestId) {
    this.requestId = requestId;
    /** The frame that stops the run. */
    this.abortFrame = undefined;
    if (requestId === undefined) {
      owners.push(this);
    } else {
      guards.add(this);
      probeLater();
    }
  }

  /** Forgets the request, which has ended, and drops its later events. */
  release() {
    this.isReleased = true;
    guards.delete(this);
  }

  /**
   * Returns the handler, with the end of all requests if the handler fails: it reports its own
   * errors, so a throw is a panic.
   */
  guard(handler) {
    return (event) => {
      if (this.isReleased) return;
      try {
        handler(event);
      } catch {
        reset();
      }
    };
  }

  /** Stops the run. The reset of the object ends everything else: bodies, timers, sockets. */
  cut() {
    this.release();
    try {
      if (this.abortFrame) link?.send(this.abortFrame);
    } catch {
      // It was closed already.
    }
    if (this.requestId)
      console.error(
        JSON.stringify({ request_id: this.requestId, end: "internal_error", cause: "panic" }),
      );
  }
}
