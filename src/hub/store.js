// The hub's storage: its keys, the record of their changes, the usage of all keys, and the runs
// that may have begun.

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

/** Nothing waits for these writes: they are for the case that the object is reset. */
const UNCONFIRMED = { allowUnconfirmed: true };

/**
 * Time between two alarms while a run may be going. If the object is reset, and no request makes it
 * again, the alarm does.
 */
const ALARM_MS = 30_000;

/** Returns the time until which a row is kept. */
const untilMs = (row) => Number.parseInt(row, 10) || Number.POSITIVE_INFINITY;

/** Returns the time of the alarm for a row that is kept until then: one alarm sweeps many rows. */
const alarmMs = (timeMs) => {
  const soonMs = Date.now() + ALARM_MS;
  return timeMs === Number.POSITIVE_INFINITY ? soonMs : Math.max(timeMs, soonMs);
};

/** The storage of one object. */
export class Store {
  constructor({ storage }) {
    /** The rows of usage that are to be written, and the times until which runs are kept. */
    Object.assign(this, { storage, usages: new Map(), untils: new Map() });
    this.alarmMs = Number.POSITIVE_INFINITY;
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

  /** Keeps the row of a run. */
  keepRun(run, row) {
    const timeMs = untilMs(row);
    this.untils.set(run, timeMs);
    this.put(RUN + run, row);
    this.wakeLater(alarmMs(timeMs));
  }

  /** Deletes the row of a run, if there is one. */
  forgetRun(run) {
    if (this.untils.delete(run)) this.delete(RUN + run);
  }

  /** Deletes the rows of runs whose time is over. */
  sweep() {
    this.alarmMs = Number.POSITIVE_INFINITY;
    this.writeUsages();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [run, timeMs] of this.untils)
      if (Date.now() >= timeMs) this.forgetRun(run);
      else nextMs = Math.min(nextMs, alarmMs(timeMs));
    this.wakeLater(nextMs);
  }

  /** Sets the alarm, unless there is an earlier one. */
  wakeLater(timeMs) {
    if (timeMs >= this.alarmMs) return;
    this.alarmMs = timeMs;
    this.write(this.storage.setAlarm(timeMs, UNCONFIRMED));
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
    const nameOf = (number) => RECORD + String(number).padStart(NUMBER_DIGITS, "0");
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
