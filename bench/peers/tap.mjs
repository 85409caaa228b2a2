// Forwards connections to the gateway and records two times: when the last byte of a request
// passed, and when the first word of the answer came back. The rest of a request's time is between
// the client and the gateway.

import { connect, createServer } from "node:net";

/** How every scripted answer begins, over HTTP as over WebSocket. */
const FIRST_WORD = '"w0';

/**
 * `{ port, askedMs, firstMs, bytes, reset(), stop() }`; `bytes` are those that went to the gateway.
 */
export function startTap(port) {
  const sockets = new Set();
  const tap = {};
  tap.reset = () => Object.assign(tap, { askedMs: undefined, firstMs: undefined, bytes: 0 });
  tap.reset();
  const server = createServer({ noDelay: true }, (client) => {
    const gateway = connect({ port, host: "127.0.0.1", noDelay: true });
    client.on("data", (bytes) => {
      tap.bytes += bytes.length;
      // A frame that a client sends while it is answered, such as a heartbeat, is not a request.
      if (tap.firstMs === undefined) tap.askedMs = performance.now();
    });
    gateway.on("data", (bytes) => {
      if (tap.firstMs === undefined && bytes.includes(FIRST_WORD)) tap.firstMs = performance.now();
    });
    for (const [from, to] of [
      [client, gateway],
      [gateway, client],
    ]) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      tap.port = server.address().port;
      tap.stop = () => {
        for (const socket of sockets) socket.destroy();
        return new Promise((done) => server.close(done));
      };
      resolve(tap);
    }),
  );
}
