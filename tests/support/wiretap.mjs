// Reads the text frames and the requests on their way from the Worker to a gateway.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** The header of a frame: two bytes, the length if it is longer, the mask if a client sends it. */
const MASK_BYTES = 4;
const IS_MASKED = 0x80;

/** Returns the text of each whole frame in these bytes, and the bytes after them. */
export function framesOf(bytes) {
  const frames = [];
  for (;;) {
    if (bytes.length < 2) return [frames, bytes];
    const short = bytes[1] & 0x7f;
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    const isMasked = (bytes[1] & IS_MASKED) !== 0;
    const begin = 2 + extra + (isMasked ? MASK_BYTES : 0);
    if (bytes.length < begin) return [frames, bytes];
    const length =
      extra === 2 ? bytes.readUInt16BE(2) : extra === 8 ? Number(bytes.readBigUInt64BE(2)) : short;
    if (bytes.length < begin + length) return [frames, bytes];
    const mask = bytes.subarray(begin - MASK_BYTES, begin);
    const text = bytes.subarray(begin, begin + length);
    frames.push(
      Buffer.from(isMasked ? text.map((byte, at) => byte ^ mask[at % 4]) : text).toString(),
    );
    bytes = bytes.subarray(begin + length);
  }
}

/** The end of the headers of a request, and of a response. */
export const HEAD_END = "\r\n\r\n";

/** Time in which a gateway takes a request that has arrived. */
const TAKEN_WITHIN_MS = 200;

/** Returns true if this is a whole request, with its body. */
function isWhole(request) {
  const end = request.indexOf(HEAD_END);
  const length = Number(request.match(/^content-length: *(\d+)/im)?.[1] ?? 0);
  return end >= 0 && request.length >= end + HEAD_END.length + length;
}

/**
 * Forwards connections to a gateway on `port`. `see` is called with each frame of the Worker, and
 * with each connection's first request, before the gateway has all of it.
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
    let request = "";
    let rest = Buffer.alloc(0);
    client.on("data", (bytes) => {
      let frames = [];
      if (!isWhole(request)) {
        // The gateway has to answer an upgrade first, so no frame follows in the same piece.
        request += bytes.toString("latin1");
        if (isWhole(request)) frames.push(request);
      } else {
        [frames, rest] = framesOf(Buffer.concat([rest, bytes]));
      }
      for (const frame of frames) see(frame);
      gateway.write(bytes);
    });
    // A gateway that reads a request together with its end may drop it.
    client.on("close", () => setTimeout(() => gateway.end(), TAKEN_WITHIN_MS));
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
