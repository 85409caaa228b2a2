// The hub's storage: the runs that must not go on without their client.

const PREFIX = "run:";

/** Nothing waits for these writes: they are for the case that the object is reset. */
const UNCONFIRMED = { allowUnconfirmed: true };

/**
 * Time between two looks for runs that the object's former self left. A new object stops none at
 * its first look, so that a client has this time to send its request again, and join.
 */
const LOOK_MS = 30_000;

/** Time after which a run is given up that could not be stopped. */
const GIVE_UP_MS = 3_600_000;

const log = (line) => console.log(JSON.stringify(line));

/** The storage of one object, and the runs that are going in it. */
export class Store {
  constructor({ storage }) {
    /** How many requests each run has. */
    Object.assign(this, { storage, going: new Map(), orphans: [], isAwake: false });
  }

  /** Keeps a run, and the frames that stop it. */
  keep(run, frames) {
    const requests = this.going.get(run) ?? 0;
    this.going.set(run, requests + 1);
    if (requests > 0) return;
    this.write(this.storage.put(PREFIX + run, { frames, keptMs: Date.now() }, UNCONFIRMED));
    this.lookLater();
  }

  /** Forgets one request of a run, and the run with the last one. */
  forget(run) {
    const requests = this.going.get(run) ?? 0;
    if (requests > 1) this.going.set(run, requests - 1);
    else {
      this.going.delete(run);
      this.delete(run);
    }
  }

  /**
   * Returns the frames that stop the runs that no request of this object receives: its former self
   * left them. Looks again later while any run is kept.
   */
  async look() {
    this.isAlarmSet = false;
    const kept = await this.storage.list({ prefix: PREFIX });
    if (kept.size === 0) return [];
    this.lookLater();
    if (!this.hasLooked) {
      this.hasLooked = true;
      return [];
    }
    this.orphans = [...kept].map(([key, value]) => ({ run: key.slice(PREFIX.length), ...value }));
    this.orphans = this.orphans.filter(({ run }) => !this.going.has(run));
    for (const { run, keptMs } of this.orphans)
      if (Date.now() - keptMs > GIVE_UP_MS) this.delete(run);
    return this.orphans.flatMap(({ frames }) => frames);
  }

  /** Forgets the runs of the last look, which were stopped. */
  stopped() {
    for (const { run } of this.orphans) {
      // A client that came back in the meantime learns the end of its run, and forgets it then.
      if (!this.going.has(run)) this.delete(run);
      log({ event: "end", time_ms: Date.now(), run, end: "hub_lost" });
    }
  }

  lookLater() {
    if (this.isAlarmSet) return;
    this.isAlarmSet = true;
    this.write(this.storage.setAlarm(Date.now() + LOOK_MS, UNCONFIRMED));
  }

  delete(run) {
    this.write(this.storage.delete(PREFIX + run, UNCONFIRMED));
  }

  /** A write that fails costs only what the row is for. */
  write(work) {
    work.catch((error) => log({ event: "end", end: "internal_error", cause: `storage: ${error}` }));
  }
}
