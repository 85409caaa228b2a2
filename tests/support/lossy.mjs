// Imitates a network between a client and the Worker that loses bytes at a test's command.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * Forwards bytes between clients and a server on `port`. For the first connection `lose` decides
 * about the answer: it is called with `{ answer, client, server }`, the bytes so far and both
 * sockets, each time more have come, and once when the server is done.
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
    /** Both sockets of each open connection. */
    sockets,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
