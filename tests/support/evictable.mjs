// A Worker whose object can be aborted as the platform does it: from outside.

import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUILD } from "../../scripts/paths.mjs";

/** The header of a request that evicts the hub. */
export const EVICT = "x-evict";

/** Makes the Worker in this folder; returns options of `startWorker`. */
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
    this.inner = new Inner(state, env);
  }
  fetch(request) {
    if (request.headers.has("${EVICT}")) this.state.abort("evicted");
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
