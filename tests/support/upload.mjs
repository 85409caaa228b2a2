// Sends a request whose body arrives slowly or never.

import { once } from "node:events";
import { connect } from "node:net";

/**
 * Sends the head of `POST /v1/chat/completions` with a body of `length` bytes, and `sent` of it.
 * @returns `send` sends more, `answer` resolves to `{ status, headers, code }` once the response is
 *   there, and `stop` hangs up.
 */
export async function openUpload({ port }, { key }, { length, sent = "", headers = {} }) {
  const socket = connect(port, "127.0.0.1");
  const chunks = [];
  socket.on("data", (chunk) => chunks.push(chunk)).on("error", () => {});
  await once(socket, "connect");
  const lines = Object.entries({
    host: "localhost",
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
    "content-length": length,
    ...headers,
  });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
  );
  socket.write(sent);
  return {
    send: (more) => socket.write(more),
    answer: () => answer(socket, chunks),
    stop: () => socket.destroy(),
  };
}

async function answer(socket, chunks) {
  for (;;) {
    const [head, body] = Buffer.concat(chunks).toString().split("\r\n\r\n");
    const length = Number(head.match(/^content-length: (\d+)$/im)?.[1]);
    if (body !== undefined && body.length >= length) {
      const headers = Object.fromEntries(
        head
          .split("\r\n")
          .slice(1)
          .map((line) => line.toLowerCase().split(": ")),
      );
      return { status: Number(head.split(" ")[1]), headers, code: JSON.parse(body).error?.code };
    }
    if (socket.destroyed || socket.readableEnded)
      throw new Error("the connection ended without an answer");
    await Promise.race([once(socket, "data"), once(socket, "close"), once(socket, "end")]);
  }
}
