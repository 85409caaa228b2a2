// A short talk with the gateway over a socket of its own.

/**
 * Calls `receive` with each frame, or with the code of the close, and sends the frames that it
 * returns, until it returns nothing or `limitMs` have passed. Then the socket is closed.
 */
export function talk(socket, receive, limitMs) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      over = true;
      socket.close(NORMAL_CLOSURE);
      resolve();
    };
    let over = false;
    const timer = setTimeout(end, limitMs);
    const step = (frame, code) => {
      if (over) return;
      let frames;
      try {
        frames = receive(frame, code);
      } catch {
        // A panic: its object is reset.
      }
      if (!frames) return end();
      for (const frame of frames) socket.send(frame);
    };
    socket.addEventListener("message", ({ data }) => {
      // The protocol has text frames only.
      if (typeof data === "string") step(data, 0);
    });
    socket.addEventListener("close", ({ code }) => step(undefined, code));
    socket.accept();
  });
}

/** RFC 6455, section 7.4.1. */
const NORMAL_CLOSURE = 1000;
