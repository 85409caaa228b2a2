const encoder = new TextEncoder();

/**
 * Writes the text of a WebSocket's message into `room` as UTF-8, and returns how many bytes it is; 0 if it has none. If it is too large
 * nothing counts of what was written, and it returns how much room to try next, below zero: enough for ASCII, then enough for anything.
 */
export function write(event, room) {
  const text = event.data;
  if (typeof text !== "string") return 0;
  const { read, written } = encoder.encodeInto(text, room);
  if (read === text.length) return written;
  return room.length < text.length ? -text.length : -BYTES_PER_UNIT * text.length;
}

/** A unit of UTF-16 is at most so many bytes of UTF-8. */
const BYTES_PER_UNIT = 3;
