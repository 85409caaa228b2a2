// Finds the native programs, which are packages of their own: one for each platform.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Failure } from "../scripts/steps.mjs";

/** The folder of this package. */
export const PACKAGE = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

const require = createRequire(import.meta.url);

/** Returns the path of `clawfront` or `clawfront-sim`. */
export function nativeProgram(name) {
  const platform = `${process.platform}-${process.arch}`;
  const wanted = `clawfront-${platform}`;
  try {
    return require.resolve(`${wanted}/bin/${name}`);
  } catch {
    const { optionalDependencies } = JSON.parse(readFileSync(`${PACKAGE}/package.json`, "utf8"));
    const there = Object.keys(optionalDependencies ?? {});
    if (there.includes(wanted))
      throw new Failure(`The package ${wanted}, which has this command, is not installed.`, {
        fix: `install it beside clawfront: \`npm install ${wanted}\`, or the release's file ${wanted}-VERSION.tgz.`,
      });
    throw new Failure(
      `This command is a native program, and there is none for ${platform} (there is: ${there.join(", ") || "none"}). \`clawfront serve\` works without it.`,
      { fix: "build it from the repository, where it is `npm run clawfront`." },
    );
  }
}

/** Returns the path of workerd, the runtime: the package `workerd` is a program around it. */
export function workerdProgram() {
  const platform = {
    "linux-x64": "linux-64",
    "linux-arm64": "linux-arm64",
    "darwin-x64": "darwin-64",
    "darwin-arm64": "darwin-arm64",
  }[`${process.platform}-${process.arch}`];
  try {
    const { resolve } = createRequire(require.resolve("workerd/package.json"));
    return resolve(`@cloudflare/workerd-${platform}/bin/workerd`);
  } catch {
    throw new Failure(`workerd for ${process.platform}-${process.arch} is not installed.`, {
      fix: "run `npm install` again, without --omit=optional.",
    });
  }
}
