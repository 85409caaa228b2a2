// The network between a client and the Worker, losing what a test wants lost.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * Hands bytes between clients and a server on `port`, but for the first connection: `lose` decides what becomes of its answer. It is
 * given `{ answer, client, server }`, the bytes that came so far and both sockets, each time more have come, and once when the server is done.
 */
export async function startLossyNetwork(port, lose) {
  const sockets = new Set();
  let connections = 0;
  const listener = createServer((client) => {
    const isFirst = connections++ === 0;
    const server = connect(port, "127.0.0.1");
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.on("error", () => {});
    }
    client.pipe(server);
    client.on("close", () => isFirst || server.destroy());
    if (!isFirst) return server.pipe(client);
    let answer = Buffer.alloc(0);
    const hand = () => lose({ answer, client, server });
    server.on("data", (bytes) => {
      answer = Buffer.concat([answer, bytes]);
      hand();
    });
    server.on("end", hand);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    connections: () => connections,
    /** Both sides of what is open. */
    sockets,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
