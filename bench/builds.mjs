// The Workers that are measured, as `startWorker` takes them.

import { join } from "node:path";
import { BUILD, ROOT } from "../scripts/paths.mjs";

const JS = join(ROOT, "bench/baselines/js");

export const IDIOMATIC = join(ROOT, "bench/baselines/idiomatic/build");

export const BUILDS = {
  ours: { build: BUILD },
  idiomatic: { build: IDIOMATIC },
  floor: { build: JS, modules: ["floor.js", "gateway.js"] },
  js: { build: JS, modules: ["translate.js", "gateway.js"] },
  jsPass: { build: JS, modules: ["pass.js"] },
  empty: { build: JS, modules: ["empty.js"] },
};
