// Workers whose hub is in another class, for what the platform does to an object from outside.

import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUILD } from "../../scripts/paths.mjs";

/** The header of a request that evicts the hub. */
export const EVICT = "x-evict";

/**
 * The header of a request that has the hub's storage confirm nothing (`begin`), or confirm what
 * waits and all that follows (`end`). The response to another value is how many confirmations wait.
 */
export const HOLD = "x-hold";

/** The response to a request with this header is what the storage was asked to write, in JSON. */
export const WRITES = "x-writes";

/**
 * Makes the Worker, whose hub can be aborted, held back and counted, in this folder; returns
 * options of `startWorker`.
 */
export function makeEvictable(build) {
  for (const name of ["index.js", "index_bg.wasm"])
    copyFileSync(join(BUILD, name), join(build, name));
  writeFileSync(
    join(build, "evictable.js"),
    `import { Hub as Inner } from "./index.js";
export { default } from "./index.js";
export class Hub {
  constructor(state, env) {
    this.state = state;
    const { storage } = state;
    const sync = storage.sync.bind(storage);
    const held = (this.held = []);
    storage.sync = async () => {
      if (this.isHeld) await new Promise((resolve) => held.push(resolve));
      return sync();
    };
    const writes = (this.writes = {});
    const count = (target, method) => {
      const write = target[method].bind(target);
      target[method] = (...args) => {
        writes[method] = (writes[method] ?? 0) + 1;
        return write(...args);
      };
    };
    for (const method of ["put", "delete"]) count(storage.kv, method);
    for (const method of ["put", "delete", "setAlarm", "deleteAlarm"]) count(storage, method);
    this.inner = new Inner(state, env);
  }
  fetch(request) {
    if (request.headers.has("${WRITES}")) return Response.json(this.writes);
    if (request.headers.has("${EVICT}")) this.state.abort("evicted");
    const hold = request.headers.get("${HOLD}");
    if (hold) {
      if (hold === "begin") this.isHeld = true;
      const { length } = this.held;
      if (hold === "end") {
        this.isHeld = false;
        for (const resolve of this.held.splice(0)) resolve();
      }
      return new Response(String(length));
    }
    return this.inner.fetch(request);
  }
  alarm(info) {
    return this.inner.alarm(info);
  }
}
`,
  );
  return { build, modules: ["evictable.js", "index.js", "index_bg.wasm"] };
}
