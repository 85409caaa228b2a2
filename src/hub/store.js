// The hub's storage: its keys, the record of their changes, the usage of all keys, and the runs
// that must not go on without their client.

const PREFIX = "run:";
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
 * Time between two looks for runs that the object's former self left. A run is stopped at the
 * second look that finds it, so that a client has this time to send its request again, and join.
 */
const LOOK_MS = 30_000;

/** Least time between the two, because an alarm may call twice. */
const GRACE_MS = 20_000;

/** Time after which a run is given up that could not be stopped. */
const GIVE_UP_MS = 3_600_000;

const log = (line) => console.log(JSON.stringify(line));

/**
 * The storage of one object, and the runs that its requests have. A row has the frames that stop a
 * run (`frames`), and the time of the first look that found it without a request (`leftMs`). The
 * marks are in the rows, because the object does not stay in memory from one look to the next.
 */
export class Store {
  constructor({ storage }) {
    /** How many requests each run has, and the runs whose rows this object wrote. */
    Object.assign(this, { storage, requests: new Map(), kept: new Set(), left: [] });
    /** The rows of usage that are to be written. */
    this.usages = new Map();
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
    if (this.sweptDay === day) return;
    this.sweptDay = day;
    for (const [name] of this.storage.kv.list({ prefix: USAGE }))
      if (day - name.slice(name.lastIndexOf(":") + 1) > USAGE_DAYS) this.delete(name);
  }

  writeUsages() {
    for (const [name, row] of this.usages) this.put(name, row);
    this.usages.clear();
  }

  /** Counts a request of a run: it is not stopped. */
  join(run) {
    this.requests.set(run, (this.requests.get(run) ?? 0) + 1);
  }

  /** Keeps a run, and the frames that stop it. */
  keep(run, frames) {
    this.kept.add(run);
    this.put(PREFIX + run, { frames });
    this.lookLater();
  }

  /** Forgets one request of a run, and the run with the last one. */
  leave(run) {
    const requests = this.requests.get(run) ?? 0;
    if (requests > 1) return void this.requests.set(run, requests - 1);
    this.requests.delete(run);
    // A request that was refused has nothing to do with the row of a former self.
    if (this.kept.delete(run)) this.delete(PREFIX + run);
  }

  /**
   * Returns the frames that stop the runs without a request. Looks again later while any run is
   * kept.
   */
  async look() {
    this.isAlarmSet = false;
    this.writeUsages();
    const rows = [...(await this.storage.list({ prefix: PREFIX }))];
    this.left = [];
    if (rows.length > 0) this.lookLater();
    for (const [key, { frames, leftMs }] of rows) {
      const run = key.slice(PREFIX.length);
      if (this.requests.has(run)) continue;
      if (leftMs === undefined) this.put(key, { frames, leftMs: Date.now() });
      else if (Date.now() - leftMs > GIVE_UP_MS) this.delete(key);
      else if (Date.now() - leftMs >= GRACE_MS) this.left.push({ run, frames });
    }
    return this.left.flatMap(({ frames }) => frames);
  }

  /** Forgets the runs of the last look, which were stopped. */
  stopped() {
    for (const { run } of this.left) {
      // A client that came back in the meantime learns the end of its run, and forgets it then.
      if (!this.requests.has(run)) this.delete(PREFIX + run);
      log({ event: "end", time_ms: Date.now(), run, end: "hub_lost" });
    }
  }

  /** Returns the rows of all keys, one in each line. */
  keys() {
    return this.values(KEY).join("\n");
  }

  /**
   * Writes the row of a key, or deletes it if the row is empty, and adds a line to the record of
   * changes. The response to the administrator waits until both are stored.
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

  lookLater() {
    if (this.isAlarmSet) return;
    this.isAlarmSet = true;
    this.write(this.storage.setAlarm(Date.now() + LOOK_MS, UNCONFIRMED));
  }

  put(key, row) {
    this.write(this.storage.put(key, row, UNCONFIRMED));
  }

  delete(key) {
    this.write(this.storage.delete(key, UNCONFIRMED));
  }

  /** A write that fails costs only what the row is for. */
  write(work) {
    work.catch((error) => log({ event: "end", end: "internal_error", cause: `storage: ${error}` }));
  }
}
