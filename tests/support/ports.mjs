// Finds ports of this host without a listener.

import { createServer } from "node:net";

/** Returns ports that differ: all of them are taken before the first one is given back. */
export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  return Promise.all(
    servers.map(
      (server) =>
        new Promise((resolve) => {
          const { port } = server.address();
          server.close(() => resolve(port));
        }),
    ),
  );
}

export const freePort = async () => (await freePorts(1))[0];
