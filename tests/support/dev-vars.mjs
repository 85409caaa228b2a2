// Reads and writes the settings in `.dev.vars`.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Returns the settings in the `.dev.vars` of a folder. */
export const variables = (folder) =>
  Object.fromEntries(
    [
      ...readFileSync(join(folder, ".dev.vars"), "utf8").matchAll(
        /^([A-Z_0-9]+)=(['"`]?)([\s\S]*?)\2$/gm,
      ),
    ].map(([, name, , value]) => [name, value]),
  );

/** Writes settings to a file, without those that are `undefined`. */
export function writeVariables(path, values) {
  const text = Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}='${value}'\n`);
  writeFileSync(path, text.join(""), { mode: 0o600 });
}
