// Ends a request whose WebAssembly instance is gone: after a panic nothing of that instance may run
// again, so the next event of the request ends it from here. The events of each request do this
// themselves, because no other request may touch its sockets.

export class PanicGuard {
  constructor(requestId) {
    this.requestId = requestId;
    /** Frames that stop the run. */
    this.abortFrames = [];
  }

  /**
   * Returns the handler, with the end of the request if the handler fails: it reports its own
   * errors, so a throw is a panic.
   */
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
    for (const part of [
      () => {
        for (const frame of this.abortFrames) this.socket?.send(frame);
      },
      () => this.socket?.close(1000),
      () => this.body?.error(new Error("internal error")),
    ]) {
      try {
        part();
      } catch {
        // It was closed already.
      }
    }
    console.error(
      JSON.stringify({ request_id: this.requestId, end: "internal_error", cause: "panic" }),
    );
  }
}
