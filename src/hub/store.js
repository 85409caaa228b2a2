// The hub's storage: its keys, the record of their changes, the usage of all keys, and the runs
// that may have begun.

import { endOfPiece, eventsAfter, lastEvent } from "./events.js";

/** The row of a run begins with the time until which it is kept, 0 while the run may be going. */
const RUN = "run:";
const KEY = "key:";
const RECORD = "audit:";

/** Changes of keys that are on record; the oldest are deleted first. */
const MAX_RECORDS = 1000;

/** Digits of a record's number, so that the rows stay in order. */
const NUMBER_DIGITS = 12;

/** A key's usage of one UTC day is `use:<key>:<day>`; its row begins with the day, too. */
const USAGE = "use:";

/** Time in which the changes of a key's usage become one write: what a crash can lose. */
const USAGE_MS = 5_000;

/** Days for which usage is kept: a quarter of a year. */
const USAGE_DAYS = 92;

/**
 * A stored response is named `<key>:<id>`. It has a row, which begins with the time until which it
 * is kept, 0 while it is going; the name of a response that is going, by its run; and its texts.
 */
const RESPONSE = "rsp:";
const GOING = "rgo:";
const TEXT = "rtx:";
const OBJECT = "object";
const INPUT = "input";
const EVENTS = "events";

/**
 * Responses of one key that are stored, and the characters of their texts: an object has 10 GB.
 * Those whose time is over first make room.
 */
const MAX_RESPONSES = 1000;
const MAX_RESPONSE_CHARS = 100_000_000;

/**
 * A file whose link is in an answer has a row, which begins with the time until which it is kept;
 * the key's id is the second of its fields.
 */
const FILE = "fil:";

/** Files of one key that are kept. Those whose time is over first make room. */
const MAX_FILES = 1000;

/** The ids of a key's files begin with the same characters. */
const FILE_OF_KEY_CHARS = 13;

/** Characters of one row of a text: a row has at most 2 MB, and a character at most 2 bytes. */
const TEXT_CHARS = 500_000;

/** Nothing waits for these writes: they are for the case that the object is reset. */
const UNCONFIRMED = { allowUnconfirmed: true };

/**
 * Time between two alarms while a run may be going. If the object is reset, and no request makes it
 * again, the alarm does.
 */
const ALARM_MS = 30_000;

/** A normal closure (RFC 6455 section 7.4.1). */
const NORMAL_CLOSURE = 1000;

/** Returns the time until which a row is kept. */
const untilMs = (row) => Number.parseInt(row, 10) || Number.POSITIVE_INFINITY;

/** Returns the time of the alarm for a row that is kept until then: one alarm sweeps many rows. */
const alarmMs = (timeMs) => {
  const soonMs = Date.now() + ALARM_MS;
  return timeMs === Number.POSITIVE_INFINITY ? soonMs : Math.max(timeMs, soonMs);
};

/** Returns a number as it stands in the name of a row. */
const digits = (number) => String(number).padStart(NUMBER_DIGITS, "0");

/** Returns the name of a row of a text. */
const textName = (name, kind, number) => `${TEXT}${name}:${kind}:${digits(number)}`;

/** Begins the names of the rows of a response's events. */
const eventsOf = (name) => `${TEXT}${name}:${EVENTS}:`;

/** The storage of one object. */
export class Store {
  constructor({ storage }, waiting) {
    /** The rows of usage that are to be written, and the times until which runs are kept. */
    Object.assign(this, { storage, usages: new Map(), untils: new Map() });
    this.alarmMs = Number.POSITIVE_INFINITY;
    /** The time at which the first stored response, or file, is over. */
    this.sweptMs = Number.NaN;
    this.waiting = waiting;
  }

  /** Returns the latest row of a key's usage. */
  usage(key) {
    const [latest] = this.storage.kv.list({ prefix: `${USAGE}${key}:`, reverse: true, limit: 1 });
    return latest?.[1];
  }

  /** Keeps the row of a key's usage, together with the changes of the next seconds. */
  keepUsage(key, row) {
    if (this.usages.size === 0) setTimeout(() => this.writeUsages(), USAGE_MS);
    const day = Number.parseInt(row, 10);
    this.usages.set(`${USAGE}${key}:${day}`, row);
    if (this.sweptDay >= day) return;
    this.sweptDay = day;
    for (const [name] of this.storage.kv.list({ prefix: USAGE }))
      if (day - name.slice(name.lastIndexOf(":") + 1) > USAGE_DAYS) this.delete(name);
  }

  writeUsages() {
    for (const [name, row] of this.usages) this.put(name, row);
    this.usages.clear();
  }

  /**
   * Returns the rows of all keys' usage on these days, one in each line: the key's id, a tab, the
   * row.
   */
  usageRows(from, until) {
    this.writeUsages();
    return [...this.storage.kv.list({ prefix: USAGE })]
      .map(([name, row]) => [...name.split(":"), row])
      .filter(([, , day]) => day >= from && day < until)
      .map(([, key, , row]) => `${key}\t${row}`)
      .join("\n");
  }

  /** Returns the rows of all runs, one in each line: the run's id, a tab, the row. */
  runs() {
    const rows = [...this.storage.kv.list({ prefix: RUN })].map(([name, row]) => {
      const run = name.slice(RUN.length);
      this.untils.set(run, untilMs(row));
      return `${run}\t${row}`;
    });
    return rows.join("\n");
  }

  /** Returns true, once, if the object's former self panicked: `panic_guard.js` says so. */
  takePanic() {
    return this.storage.kv.delete("panic");
  }

  /** Keeps the row of a run. What is sent to the gateway after that waits until it is stored. */
  keepRun(run, row) {
    const timeMs = untilMs(row);
    this.untils.set(run, timeMs);
    this.put(RUN + run, row);
    this.wakeLater(alarmMs(timeMs));
    if (timeMs < Number.POSITIVE_INFINITY) return;
    const earlier = this.stored;
    this.wait(this.storage.sync().then(() => earlier));
  }

  /** Sends a frame to the gateway, after the rows that it waits for, and after earlier frames. */
  send(socket, frame) {
    this.inTurn(() => socket.send(frame));
  }

  /** Closes the gateway's socket, after the frames that wait. */
  close(socket) {
    this.inTurn(() => socket.close(NORMAL_CLOSURE));
  }

  /** Does something with a socket, which may have been closed. */
  inTurn(act) {
    const attempt = () => {
      try {
        act();
      } catch {}
    };
    if (this.stored) this.wait(this.stored.then(attempt));
    else attempt();
  }

  /** Has frames wait for this. If it fails, none of them is sent: the object is reset. */
  wait(stored) {
    this.stored = stored;
    const done = () => {
      if (this.stored === stored) this.stored = undefined;
    };
    stored.then(done, () => {});
  }

  /** Deletes the row of a run, if there is one. */
  forgetRun(run) {
    if (this.untils.delete(run)) this.delete(RUN + run);
  }

  /** Deletes the rows of runs, responses and files whose time is over. */
  sweep() {
    this.alarmMs = Number.POSITIVE_INFINITY;
    this.writeUsages();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [run, timeMs] of this.untils)
      if (Date.now() >= timeMs) this.forgetRun(run);
      else nextMs = Math.min(nextMs, alarmMs(timeMs));
    // Unknown at first.
    if (!(Date.now() < this.sweptMs)) this.sweptMs = this.sweepStored();
    if (this.sweptMs < Number.POSITIVE_INFINITY) nextMs = Math.min(nextMs, alarmMs(this.sweptMs));
    this.wakeLater(nextMs);
  }

  /** Sets the alarm, unless there is an earlier one. */
  wakeLater(timeMs) {
    if (timeMs >= this.alarmMs) return;
    this.alarmMs = timeMs;
    this.write(this.storage.setAlarm(timeMs, UNCONFIRMED));
  }

  /** Returns the row of a stored response. */
  response(name) {
    return this.storage.kv.get(RESPONSE + name);
  }

  /** Returns a text of a stored response. */
  text(name, kind) {
    return this.values(`${TEXT}${name}:${kind}:`).join("");
  }

  /** Returns the number of blocks of a stored response's events. */
  blocks(name) {
    const prefix = eventsOf(name);
    const [last] = this.storage.kv.list({ prefix, reverse: true, limit: 1 });
    return last ? Number.parseInt(last[0].slice(prefix.length), 10) + 1 : 0;
  }

  /** Returns the number of the last event of a response, if there is one. */
  lastEvent(name) {
    return lastEvent(this.storage.kv, eventsOf(name));
  }

  /**
   * Returns the events of a response after the one with the number `last`, and those that follow.
   * If the key is not valid any more, at this Unix time or before, the stream ends with `expired`.
   */
  events(name, last, expired, keyEndsS = Number.POSITIVE_INFINITY) {
    const keyEndsMs = keyEndsS * 1000;
    const key = name.slice(0, name.indexOf(":"));
    const ends = this.waiting.endsOf(key);
    return eventsAfter(this.storage.kv, eventsOf(name), {
      last,
      expired,
      state: () => {
        if (this.waiting.endsOf(key) > ends || Date.now() >= keyEndsMs) return "expired";
        const row = this.response(name);
        if (row === undefined) return "gone";
        return untilMs(row) < Number.POSITIVE_INFINITY ? "ended" : "going";
      },
      change: () => this.waiting.change(name, keyEndsMs),
    });
  }

  /** Ends the streams of a key's responses, because it is not valid any more. */
  endReaders(key) {
    this.waiting.end(key);
  }

  /** Returns the names of the responses that are going, one in each line: the run's id, a tab. */
  goingResponses() {
    const rows = [...this.storage.kv.list({ prefix: GOING })];
    return rows.map(([name, row]) => `${name.slice(GOING.length)}\t${row}`).join("\n");
  }

  /**
   * Stores a response, whole or nothing. Everything that the hub sends after this waits until it is
   * stored. A response that is not new has no input here, and may have been deleted: then nothing
   * is stored.
   */
  keepResponse(name, row, run, object, input) {
    const { kv } = this.storage;
    const untilMs = Number.parseInt(row, 10);
    this.storage.transactionSync(() => {
      if (untilMs > 0) kv.delete(GOING + run);
      if (input === undefined) {
        if (this.response(name) === undefined) return;
      } else {
        this.makeRoom(name.slice(0, name.indexOf(":") + 1));
        this.putText(name, INPUT, input);
      }
      this.putText(name, OBJECT, object);
      if (untilMs === 0) kv.put(GOING + run, name);
      // One that has ended has its size, too.
      const size = untilMs && this.values(`${TEXT}${name}:`).join("").length;
      kv.put(RESPONSE + name, `${row}\t${size}`);
    });
    this.waiting.wake(name);
    if (untilMs === 0) return;
    this.sweptMs = Math.min(this.sweptMs, untilMs);
    this.wakeLater(alarmMs(untilMs));
  }

  /** Deletes responses of a key that end first, until there is room for another one. */
  makeRoom(key) {
    const own = [...this.storage.kv.list({ prefix: RESPONSE + key })]
      .map(([name, row]) => [
        name.slice(RESPONSE.length),
        untilMs(row),
        Number(row.split("\t").pop()),
      ])
      .filter(([, timeMs]) => timeMs < Number.POSITIVE_INFINITY)
      .sort(([, a], [, b]) => a - b);
    let chars = own.reduce((sum, [, , size]) => sum + size, 0);
    for (const [index, [name, , size]] of own.entries()) {
      if (own.length - index < MAX_RESPONSES && chars < MAX_RESPONSE_CHARS) return;
      this.forgetResponse(name);
      chars -= size;
    }
  }

  /** Writes a text in as many rows as it needs. */
  putText(name, kind, text) {
    let at = 0;
    for (let number = 0; at < text.length; number++) {
      const end = endOfPiece(text, at, TEXT_CHARS);
      this.storage.kv.put(textName(name, kind, number), text.slice(at, end));
      at = end;
    }
  }

  /** Stores a block of a response's events. Without events, none of them is kept. */
  keepBlock(name, number, events) {
    if (this.response(name) === undefined) return;
    const { kv } = this.storage;
    this.storage.transactionSync(() => {
      if (events !== undefined) this.putText(name, `${EVENTS}:${digits(number)}`, events);
      else for (const [block] of [...kv.list({ prefix: eventsOf(name) })]) kv.delete(block);
    });
    this.waiting.wake(name);
  }

  /** Deletes a stored response. */
  forgetResponse(name) {
    const { kv } = this.storage;
    kv.delete(RESPONSE + name);
    for (const [text] of [...kv.list({ prefix: `${TEXT}${name}:` })]) kv.delete(text);
    this.waiting.wake(name);
  }

  /** Deletes the name of a response that is going. */
  forgetGoing(run) {
    this.storage.kv.delete(GOING + run);
  }

  /** Deletes the stored responses of a key. */
  forgetResponses(key) {
    const { kv } = this.storage;
    for (const [name] of [...kv.list({ prefix: `${RESPONSE}${key}:` })])
      this.forgetResponse(name.slice(RESPONSE.length));
    for (const [name, response] of [...kv.list({ prefix: GOING })])
      if (response.startsWith(`${key}:`)) kv.delete(name);
  }

  /** Returns the row of a file. */
  file(id) {
    return this.storage.kv.get(FILE + id);
  }

  /** Keeps the row of a file. Everything that the hub sends after this waits until it is stored. */
  keepFile(id, row) {
    const { kv } = this.storage;
    const own = [...kv.list({ prefix: FILE + id.slice(0, FILE_OF_KEY_CHARS) })];
    own.sort(([, a], [, b]) => untilMs(a) - untilMs(b));
    for (const [name] of own.slice(0, Math.max(0, own.length + 1 - MAX_FILES))) kv.delete(name);
    kv.put(FILE + id, row);
    this.sweptMs = Math.min(this.sweptMs, untilMs(row));
    this.wakeLater(alarmMs(untilMs(row)));
  }

  /** Deletes the rows of a key's files. */
  forgetFiles(key) {
    const { kv } = this.storage;
    for (const [name, row] of [...kv.list({ prefix: FILE })])
      if (row.split("\t")[1] === key) kv.delete(name);
  }

  /** Deletes the responses and the files whose time is over. Returns the time of the next one. */
  sweepStored() {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [name, row] of [...this.storage.kv.list({ prefix: FILE })])
      if (Date.now() >= untilMs(row)) this.storage.kv.delete(name);
      else nextMs = Math.min(nextMs, untilMs(row));
    for (const [name, row] of [...this.storage.kv.list({ prefix: RESPONSE })]) {
      const timeMs = untilMs(row);
      if (Date.now() >= timeMs) this.forgetResponse(name.slice(RESPONSE.length));
      else nextMs = Math.min(nextMs, timeMs);
    }
    return nextMs;
  }

  /** Returns the rows of all keys, one in each line. */
  keys() {
    return this.values(KEY).join("\n");
  }

  /**
   * Writes the row of a key, or deletes it if the row is empty, and adds a line to the record of
   * changes. Without an id it only adds the line. The response to the administrator waits until
   * both are stored.
   */
  changeKey(id, row, record) {
    const { kv } = this.storage;
    const nameOf = (number) => RECORD + digits(number);
    this.storage.transactionSync(() => {
      if (row) kv.put(KEY + id, row);
      else kv.delete(KEY + id);
      const [latest] = kv.list({ prefix: RECORD, reverse: true, limit: 1 });
      const number = latest ? Number(latest[0].slice(RECORD.length)) + 1 : 0;
      kv.put(nameOf(number), record);
      if (number >= MAX_RECORDS) kv.delete(nameOf(number - MAX_RECORDS));
    });
  }

  /** Returns the record of changes, the latest first, with commas between them. */
  records() {
    return this.values(RECORD).reverse().join();
  }

  values(prefix) {
    return [...this.storage.kv.list({ prefix })].map(([, value]) => value);
  }

  put(key, row) {
    this.write(this.storage.put(key, row, UNCONFIRMED));
  }

  delete(key) {
    this.write(this.storage.delete(key, UNCONFIRMED));
  }

  /** A write that fails costs only what the row is for. */
  write(work) {
    work.catch((error) => {
      const line = { event: "end", end: "internal_error", cause: `storage: ${error}` };
      console.log(JSON.stringify(line));
    });
  }
}
