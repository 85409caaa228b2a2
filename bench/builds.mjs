// The Workers that are measured, as `startWorker` takes them.

import { join } from "node:path";
import { BUILD, ROOT } from "../scripts/paths.mjs";

const JS = join(ROOT, "bench/baselines/js");

export const IDIOMATIC = join(ROOT, "bench/baselines/idiomatic/build");

export const BUILDS = {
  ours: { build: BUILD },
  idiomatic: { build: IDIOMATIC, objects: {} },
  floor: { build: JS, objects: {}, modules: ["floor.js", "gateway.js"] },
  js: { build: JS, objects: {}, modules: ["translate.js", "gateway.js"] },
  jsPass: { build: JS, objects: {}, modules: ["pass.js"] },
  empty: { build: JS, objects: {}, modules: ["empty.js"] },
};
