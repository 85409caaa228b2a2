// Reads and changes the storage of the Worker's object, which workerd keeps in SQLite's files, and
// makes it refuse writes.

import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { deserialize } from "node:v8";

/** Nanoseconds in a millisecond: the unit of an alarm's time. */
const NS_PER_MS = 1_000_000n;

/** A time in a row. No other field has as many digits. */
const TIME = /(?<![0-9a-f])\d{13}(?=\t)/g;

/** workerd writes at the same time. */
const BUSY_MS = 5_000;

/** Calls `use` with each open database whose file has a name with this ending. */
function withDatabases(storage, ending, options, use) {
  for (const path of globSync(join(storage, "Hub", ending))) {
    const database = new DatabaseSync(path, { timeout: BUSY_MS, readBigInts: true, ...options });
    try {
      use(database);
    } finally {
      database.close();
    }
  }
}

/** A Durable Object's file is named by its id. */
const OBJECT = "????????????????????????????????????????????????????????????????.sqlite";

/** Returns the rows of the object whose names begin with `prefix`, by their names. */
export function rowsOf(storage, prefix) {
  const rows = {};
  withDatabases(storage, OBJECT, { readOnly: true }, (database) => {
    const all = database.prepare("SELECT key, value FROM _cf_KV WHERE key >= ? AND key < ?");
    for (const { key, value } of all.all(prefix, `${prefix}\uffff`)) rows[key] = deserialize(value);
  });
  return rows;
}

/**
 * Lets time pass for the object, while it does not run: all times in the rows of its runs are that
 * much earlier, and so is its alarm.
 */
export function letPass(storage, ms) {
  withDatabases(storage, OBJECT, {}, (database) => {
    const change = database.prepare("UPDATE _cf_KV SET value = ? WHERE key = ?");
    const rows = database.prepare("SELECT key, value FROM _cf_KV WHERE key LIKE 'run:%'");
    for (const { key, value } of rows.all()) {
      const text = Buffer.from(value).toString("latin1");
      const earlier = text.replace(TIME, (time) => String(Number(time) - ms));
      change.run(Buffer.from(earlier, "latin1"), key);
    }
    database.exec(
      `UPDATE _cf_METADATA SET value = value - ${BigInt(ms) * NS_PER_MS} WHERE key = 1`,
    );
  });
  withDatabases(storage, "metadata.sqlite", {}, (database) => {
    database.exec(
      `UPDATE _cf_ALARM SET scheduled_time = scheduled_time - ${BigInt(ms) * NS_PER_MS}`,
    );
  });
}

/** No file of the object's storage is as small. */
const FULL_BYTES = 4096;

/** Has each write of a `limitable` Worker fail, as on a disk that is full. Linux only. */
export const fill = ({ pid }) => limit(pid, FULL_BYTES);

/** Ends that. */
export const empty = ({ pid }) => limit(pid, "unlimited");

const limit = (pid, bytes) => execFileSync("prlimit", [`--pid=${pid}`, `--fsize=${bytes}:`]);
