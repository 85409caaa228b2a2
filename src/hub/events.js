// The events of stored responses for their readers. A reader takes them from the rows in small
// pieces as fast as its client reads, so that a client that does not read costs next to nothing.

/** Begins an event. Line breaks are nowhere within the data of one. */
const EVENT = /(?:^|\n\n)event: [\w.]+\ndata: \{"type":"[\w.]+","sequence_number":(\d+),/g;

/** More characters than the beginning of an event has. */
const BEGINNING_CHARS = 256;

/** Characters that are sent at once. */
const PIECE_CHARS = 32_768;

/** Time between two writes while nothing happens: proxies give up after 100 s and more. */
const PING_MS = 15_000;

/** Returns the end of a piece of a text, which is not within a character. */
export function endOfPiece(text, at, chars) {
  const end = at + chars;
  return /[\ud800-\udbff]/.test(text.charAt(end - 1)) ? end - 1 : end;
}

/** Returns the number of the last event, if there is one. */
export function lastEvent(kv, prefix) {
  let text = "";
  for (const [, row] of kv.list({ prefix, reverse: true })) {
    text = row + text;
    const last = [...text.matchAll(EVENT)].at(-1);
    if (last) return Number(last[1]);
  }
  return undefined;
}

/**
 * Returns the place after the event with the number `last`, or the beginning: a row, and a position
 * in it.
 */
function placeAfter(kv, prefix, last) {
  const place = { row: undefined, at: 0 };
  if (last === undefined) return place;
  // The end of the row before, because an event may begin there.
  let before = "";
  for (const [row, text] of kv.list({ prefix })) {
    for (const { 0: beginning, 1: number, index } of (before + text).matchAll(EVENT)) {
      if (Number(number) <= last) continue;
      const at = index + beginning.indexOf("event") - before.length;
      return at < 0 ? { row: place.row, at: place.at + at } : { row, at };
    }
    Object.assign(place, { row, at: text.length });
    before = text.slice(-BEGINNING_CHARS);
  }
  return place;
}

/** Returns the next piece, and moves the place; `undefined` if there is none yet. */
function take(kv, prefix, place) {
  for (;;) {
    const text = (place.row && kv.get(place.row)) ?? "";
    if (place.at < text.length) {
      const end = endOfPiece(text, place.at, PIECE_CHARS);
      const piece = text.slice(place.at, end);
      place.at = Math.min(end, text.length);
      return piece;
    }
    const after = place.row && { startAfter: place.row };
    const [next] = kv.list({ prefix, limit: 1, ...after });
    if (!next) return undefined;
    Object.assign(place, { row: next[0], at: 0 });
  }
}

/** The readers that wait for events, by the response's name, which begins with its key. */
export class Waiting {
  constructor() {
    this.byName = new Map();
    /** How often the readers of a key were ended. */
    this.ends = new Map();
  }

  /** Ends the readers of a key, because it is not valid any more. */
  end(key) {
    this.ends.set(key, this.endsOf(key) + 1);
    for (const name of [...this.byName.keys()]) if (name.startsWith(`${key}:`)) this.wake(name);
  }

  /** Returns how often the readers of a key were ended. */
  endsOf(key) {
    return this.ends.get(key) ?? 0;
  }

  /** Wakes the readers of a response. */
  wake(name) {
    this.byName.get(name)?.resolve(true);
    this.byName.delete(name);
  }

  /** Waits until the response has changed: false if it has not for too long, or by `untilMs`. */
  async change(name, untilMs) {
    if (!this.byName.has(name)) {
      let resolve;
      const promise = new Promise((wake) => {
        resolve = wake;
      });
      this.byName.set(name, { promise, resolve });
    }
    let timer;
    const silence = new Promise((wake) => {
      timer = setTimeout(wake, Math.min(PING_MS, untilMs - Date.now()), false);
    });
    const hasChanged = await Promise.race([this.byName.get(name).promise, silence]);
    clearTimeout(timer);
    return hasChanged;
  }
}

/**
 * Returns the events after the one with the number `last`, or all, and those that follow. `state`
 * returns whether the response is `going`, has `ended`, or is `gone`, or its key is `expired`; then
 * the stream ends with `expired`.
 */
export function eventsAfter(kv, prefix, { last, expired, state, change }) {
  const place = placeAfter(kv, prefix, last);
  const encoder = new TextEncoder();
  const pull = async (controller) => {
    for (;;) {
      const now = state();
      if (now === "gone") throw new Error("the response is gone");
      if (now === "expired") {
        controller.enqueue(encoder.encode(expired));
        return controller.close();
      }
      const piece = take(kv, prefix, place);
      if (piece) return controller.enqueue(encoder.encode(piece));
      if (now === "ended") return controller.close();
      if (!(await change())) return controller.enqueue(encoder.encode(": ping\n"));
    }
  };
  return new ReadableStream({ pull }, { highWaterMark: 0 });
}
