// Lists the packages of others that are in a release (SBOM), as CycloneDX.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./paths.mjs";
import { run } from "./processes.mjs";

/** The crates that are released: the Worker and the native programs. */
const RELEASED = ["clawfront", "clawfront-cli", "clawfront-sim"];

/** Returns the document for a version. `dependencies` are the names of the npm packages. */
export async function sbom(version, dependencies) {
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: {
      component: { type: "application", name: "clawfront", version, licenses: [licence("MIT")] },
    },
    components: [...(await crates()), ...npmPackages(dependencies)],
  };
}

const licence = (expression) => ({ expression });

/** The crates that are compiled into the programs, without those of tests. */
async function crates() {
  const args = ["metadata", "--format-version", "1", "--locked"];
  const { packages, resolve } = JSON.parse(await run("cargo", args, { cwd: ROOT, data: true }));
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const waiting = packages.filter(({ name }) => RELEASED.includes(name)).map(({ id }) => id);
  const used = new Set(waiting);
  for (let id = waiting.pop(); id; id = waiting.pop()) {
    for (const { pkg, dep_kinds } of nodes.get(id).deps) {
      if (used.has(pkg) || dep_kinds.every(({ kind }) => kind === "dev")) continue;
      used.add(pkg);
      waiting.push(pkg);
    }
  }
  const checksums = lockedChecksums();
  return packages
    .filter(({ id, source }) => used.has(id) && source)
    .map(({ name, version, license }) => ({
      type: "library",
      name,
      version,
      purl: `pkg:cargo/${name}@${version}`,
      ...(license && { licenses: [licence(license.replaceAll("/", " OR "))] }),
      hashes: [{ alg: "SHA-256", content: checksums.get(`${name} ${version}`) }],
    }));
}

function lockedChecksums() {
  const lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  const entry = /name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"/g;
  return new Map(
    [...lock.matchAll(entry)].map(([, name, version, sum]) => [`${name} ${version}`, sum]),
  );
}

function npmPackages(names) {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const platforms = Object.keys(packages).filter((path) => path.includes("/@cloudflare/workerd-"));
  const paths = [...names.map((name) => `node_modules/${name}`), ...platforms];
  return paths.map((path) => {
    const { version, license, integrity } = packages[path];
    const name = path.replace(/^.*node_modules\//, "");
    const [algorithm, hash] = integrity.split(/-(.*)/s);
    return {
      type: "library",
      name,
      version,
      purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
      ...(license && { licenses: [licence(license)] }),
      hashes: [
        {
          alg: algorithm.replace("sha", "SHA-"),
          content: Buffer.from(hash, "base64").toString("hex"),
        },
      ],
    };
  });
}
