// Selects the frames of one connection that WebAssembly receives, and writes them into its memory.

const encoder = new TextEncoder();

/**
 * The frames of a connection, on their way into WebAssembly. Events that no run needs stay outside:
 * a call into WebAssembly costs as much as receiving a frame, half of all frames are `chat` events,
 * and on protocol 3 every connection receives the events of every run.
 */
export class Frames {
  /** `chat` and `agent` are the beginnings of these events, up to the run's id. */
  constructor(chat, agent) {
    Object.assign(this, { chat, agent, skipped: 0, text: "" });
    this.select([], []);
  }

  /**
   * Passes on these runs' events `agent` and `chat`. A run is given as its id with the closing
   * quote, or as the beginning of an id.
   */
  select(agents, chats) {
    const isWhole = (run) => run.endsWith('"');
    this.agents = new Set(agents.filter(isWhole));
    this.chats = new Set(chats.filter(isWhole));
    this.beginnings = agents.filter((run) => !isWhole(run));
  }

  /**
   * Has `handler` called with the events of messages that are of interest, and counts the others.
   */
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
    if (text.startsWith(this.agent)) return this.isOfOther(text, this.agent.length, this.agents);
    return text.startsWith(this.chat) && this.isOfOther(text, this.chat.length, this.chats);
  }

  /** Returns true if the event is of none of these `runs`. The run's id is at `start`. */
  isOfOther(text, start, runs) {
    const id = text.slice(start, text.indexOf('"', start) + 1);
    if (runs.has(id) || this.beginnings.some((beginning) => id.startsWith(beginning))) return false;
    // An id that is written with an escape may be the run's all the same.
    return id !== "" && !id.includes("\\");
  }

  /** How many events were skipped since this was asked last. */
  takeSkipped() {
    const { skipped } = this;
    this.skipped = 0;
    return skipped;
  }

  /**
   * Writes the present frame into `room` as UTF-8, and returns its number of bytes. If it is too
   * large nothing in `room` counts, and it returns the room to try next as a negative number:
   * enough for ASCII, then enough for any text.
   */
  write(room) {
    const { text } = this;
    const { read, written } = encoder.encodeInto(text, room);
    if (read === text.length) return written;
    return room.length < text.length ? -text.length : -BYTES_PER_UNIT * text.length;
  }
}

/**
 * Deliver at least one frame in this many. A dead WebAssembly instance is noticed only when it is
 * called, and every incoming frame may belong to another run.
 */
const MAX_SKIPPED = 10;

/** A unit of UTF-16 is at most this number of bytes in UTF-8. */
const BYTES_PER_UNIT = 3;
