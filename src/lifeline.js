// What is left of a request when the WebAssembly instance that served it is gone: after a panic nothing of that instance may run again,
// so whatever comes for the request afterwards ends it from here. Each request's own events do, because no other may touch its sockets.

export class Lifeline {
  constructor(requestId) {
    this.requestId = requestId;
    /** Frames that stop the run. */
    this.lastWords = [];
  }

  /** The handler, and the end of the request where it fails: it reports what it can by itself, so a throw is a panic's. */
  guard(handler) {
    return (event) => {
      try {
        handler(event);
      } catch {
        this.cut();
      }
    };
  }

  cut() {
    if (this.isCut) return;
    this.isCut = true;
    clearTimeout(this.timer);
    for (const part of [() => this.lastWords.forEach((frame) => this.socket?.send(frame)), () => this.socket?.close(1000), () => this.body?.error(new Error("internal error"))]) {
      try {
        part();
      } catch {
        // It was closed already.
      }
    }
    console.error(JSON.stringify({ request_id: this.requestId, end: "internal_error", cause: "panic" }));
  }
}
