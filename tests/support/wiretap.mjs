// Reads the text frames on their way from the Worker to a gateway.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** The header of a client's frame: two bytes, the length if it is longer, the mask. */
const MASK_BYTES = 4;

/** Returns the text of each whole frame in these bytes, and the bytes after them. */
function framesOf(bytes) {
  const frames = [];
  for (;;) {
    if (bytes.length < 2) return [frames, bytes];
    const short = bytes[1] & 0x7f;
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    const begin = 2 + extra + MASK_BYTES;
    if (bytes.length < begin) return [frames, bytes];
    const length =
      extra === 2 ? bytes.readUInt16BE(2) : extra === 8 ? Number(bytes.readBigUInt64BE(2)) : short;
    if (bytes.length < begin + length) return [frames, bytes];
    const mask = bytes.subarray(begin - MASK_BYTES, begin);
    const text = bytes.subarray(begin, begin + length).map((byte, at) => byte ^ mask[at % 4]);
    frames.push(Buffer.from(text).toString());
    bytes = bytes.subarray(begin + length);
  }
}

/** The end of an upgrade's headers. */
const HEAD_END = "\r\n\r\n";

/**
 * Forwards connections to a gateway on `port`. `see` is called with each frame of the Worker before
 * the gateway gets it.
 */
export async function startWiretap(port, see) {
  const sockets = new Set();
  const listener = createServer((client) => {
    const gateway = connect(port, "127.0.0.1");
    for (const socket of [client, gateway]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.on("error", () => {});
    }
    gateway.pipe(client);
    gateway.on("close", () => client.destroy());
    let head = "";
    let rest = Buffer.alloc(0);
    client.on("data", (bytes) => {
      let frames = [];
      if (!head.endsWith(HEAD_END)) {
        // The gateway has to answer it first, so no frame follows in the same piece.
        head += bytes.toString("latin1");
      } else {
        [frames, rest] = framesOf(Buffer.concat([rest, bytes]));
      }
      for (const frame of frames) see(frame);
      gateway.write(bytes);
    });
    client.on("close", () => gateway.end());
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    url: `ws://127.0.0.1:${listener.address().port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
