// Makes folders for tests that are removed after them.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** Returns a new folder. It is removed after the tests of the file or `describe` that calls this. */
export function temporaryFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), `clawfront-${name}-`));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
