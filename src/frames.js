const encoder = new TextEncoder();

/**
 * The frames of one connection, on their way into WebAssembly. What is not of interest does not go there: to call WebAssembly costs as much as
 * to receive a frame, half of all are `chat` events, and on protocol 3 every connection hears of every run.
 */
export class Frames {
  /** `chat` and `agent` are what these events begin with, the latter up to its run's id; `run` is the id of the run that is of interest. */
  constructor(chat, agent, run) {
    Object.assign(this, { chat, agent, run: `${run}"`, needsChat: true, skipped: 0, text: "" });
  }

  /** Has `handler` called with the events of messages that are of interest, and counts the others. */
  filter(handler) {
    return (event) => {
      const { data } = event;
      // The protocol has text frames only.
      if (typeof data !== "string") return;
      if (this.skipped < MAX_SKIPPED && this.isSurplus(data)) {
        this.skipped += 1;
        return;
      }
      this.text = data;
      handler(event);
      this.text = "";
    };
  }

  isSurplus(text) {
    if (text.startsWith(this.chat)) return !this.needsChat;
    if (!text.startsWith(this.agent) || text.startsWith(this.run, this.agent.length)) return false;
    const end = text.indexOf('"', this.agent.length);
    // An id that is written with an escape may be the run's all the same.
    return end >= 0 && !text.slice(this.agent.length, end).includes("\\");
  }

  /** How many events were skipped since this was asked last. */
  takeSkipped() {
    const { skipped } = this;
    this.skipped = 0;
    return skipped;
  }

  /**
   * Writes the present frame into `room` as UTF-8, and returns how many bytes it is. If it is too large nothing counts of what was written, and
   * it returns how much room to try next, below zero: enough for ASCII, then enough for anything.
   */
  write(room) {
    const { text } = this;
    const { read, written } = encoder.encodeInto(text, room);
    if (read === text.length) return written;
    return room.length < text.length ? -text.length : -BYTES_PER_UNIT * text.length;
  }
}

/** So many in a row. Where a panic ended the WebAssembly instance, the next call of it tells, and what comes for others may be all that comes. */
const MAX_SKIPPED = 10;

/** A unit of UTF-16 is at most so many bytes of UTF-8. */
const BYTES_PER_UNIT = 3;
