// Makes Portkey's server listen on loopback, where no other machine reaches it. It is loaded before
// the server, which has no setting for its address and would take all of them.

import { Server } from "node:net";

const listen = Server.prototype.listen;

Server.prototype.listen = function (port, ...rest) {
  if (typeof port !== "number") return listen.call(this, port, ...rest);
  return listen.call(
    this,
    { port, host: "127.0.0.1" },
    ...rest.filter((one) => typeof one === "function"),
  );
};
