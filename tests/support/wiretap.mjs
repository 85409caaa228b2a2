// Reads the text frames and the requests on their way from the Worker to a gateway.

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

/** Returns a function that counts a gateway's frames in pieces of its bytes, after its head. */
export function frameCounter(count) {
  let head = "";
  let header = [];
  let toSkip = 0;
  return (bytes) => {
    let at = 0;
    if (!head.endsWith(HEAD_END)) {
      const before = head.length;
      const all = head + bytes.toString("latin1");
      const end = all.indexOf(HEAD_END);
      head = end < 0 ? all : all.slice(0, end + HEAD_END.length);
      if (end < 0) return;
      at = head.length - before;
    }
    while (at < bytes.length) {
      if (toSkip > 0) {
        const skipped = Math.min(toSkip, bytes.length - at);
        toSkip -= skipped;
        at += skipped;
        continue;
      }
      header.push(bytes[at]);
      at += 1;
      const length = lengthOf(Buffer.from(header));
      if (length === undefined) continue;
      count();
      header = [];
      toSkip = length;
    }
  };
}

/** Returns the length of a gateway's frame, if this is its whole header. */
function lengthOf(header) {
  if (header.length < 2) return undefined;
  const short = header[1] & 0x7f;
  if (short < 126) return short;
  if (short === 126) return header.length < 4 ? undefined : header.readUInt16BE(2);
  return header.length < 10 ? undefined : Number(header.readBigUInt64BE(2));
}

/** The end of the headers of a request, and of a response. */
const HEAD_END = "\r\n\r\n";

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
