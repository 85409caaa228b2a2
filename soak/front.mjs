// The Worker of a soak, whose hub can be lost: alone, as in an eviction, or with all of workerd.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EVICT, makeEvictable } from "../tests/support/evictable.mjs";
import { startWorker } from "../tests/support/worker.mjs";

/** Starts the Worker; `key` is a client's. */
export async function startFront(vars, key) {
  const folder = mkdtempSync(join(tmpdir(), "clawfront-soak-"));
  const front = new Front(vars, key, folder);
  try {
    await front.start();
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return front;
}

class Front {
  #options;
  #key;
  #folder;
  #worker;
  #log = [];
  #isBack = Promise.resolve();
  /** Odd while the hub is being lost. */
  losses = 0;

  constructor(vars, key, folder) {
    const build = join(folder, "build");
    mkdirSync(build);
    this.#options = { vars, storage: join(folder, "objects"), ...makeEvictable(build) };
    this.#key = key;
    this.#folder = folder;
  }

  async start() {
    this.#worker = await startWorker(this.#options);
  }

  get url() {
    return this.#worker.url;
  }

  get pid() {
    return this.#worker.pid;
  }

  /** The lines of all Workers since they were forgotten. */
  get log() {
    return [...this.#log, ...this.#worker.log];
  }

  forgetLog() {
    this.#log = [];
    this.#worker.log.length = 0;
  }

  /** Resolves once there is a hub that nobody takes away at this moment. */
  get isBack() {
    return this.#isBack;
  }

  /** Takes the hub away: it is `evicted`, or all of workerd is `killed`, and started again. */
  async lose(how) {
    await this.#isBack;
    this.losses += 1;
    const lost = how === "killed" ? this.#kill() : this.#evict();
    this.#isBack = lost.finally(() => {
      this.losses += 1;
    });
    await this.#isBack;
  }

  async #kill() {
    process.kill(this.#worker.pid, "SIGKILL");
    await this.#worker.stop();
    this.#log.push(...this.#worker.log);
    await this.start();
  }

  async #evict() {
    const headers = { authorization: `Bearer ${this.#key}`, [EVICT]: "1" };
    const response = await fetch(`${this.url}/v1/key`, { headers });
    await response.text();
    if (response.status !== 503) throw new Error(`the eviction was HTTP ${response.status}`);
  }

  async stop() {
    await this.#worker.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
