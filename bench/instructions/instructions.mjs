// `npm run bench:instructions [-- --renew | --functions WORDS]`: how many WebAssembly instructions
// core takes for a frame, a request, a key. Unlike a time it is the same on every machine, so `npm
// test` fails where one has changed. `--functions` says which functions of a case take them.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { cargoBuild, wasmEnvironment } from "../../scripts/cargo.mjs";
import { runCommand } from "../../scripts/command.mjs";
import { CACHE, ROOT } from "../../scripts/paths.mjs";

import { ensureRust } from "../../scripts/setup.mjs";
import { Failure, say, step } from "../../scripts/steps.mjs";
import { renewTable } from "../page.mjs";
import { printTable } from "../table.mjs";
import { countAll } from "./count.mjs";

const FOLDER = join(ROOT, "bench/instructions");
const EXPECTED = join(FOLDER, "expected.json");
const PAGE = join(ROOT, "docs/performance.md");
const RENEW = "npm run bench:instructions -- --renew";

/**
 * The share of a count that may change without a failure: a patch release of the compiler, a line
 * that moved.
 */
const TOLERANCE = 0.05;
const FUNCTIONS = 20;
const NAMELESS = 'strip = "symbols"';

/** Compares with the committed counts. */
export async function checkInstructions() {
  const guest = await buildGuest();
  await step("Instructions of core's work", async () => {
    const counted = countAll(guest);
    const wrong = compare(counted, expected());
    if (wrong.length > 0) {
      throw new Failure(
        `the counts are not those of bench/instructions/expected.json.\n${wrong.map((line) => `  ${line}`).join("\n")}`,
        {
          fix: `if that is meant, renew it with \`${RENEW}\`; \`npm run bench:instructions -- --functions 'agent event'\` shows the functions that take them.`,
        },
      );
    }
  });
}

/** Returns the counts as a measurement of `bench/bench.mjs`. */
export async function measureInstructions() {
  return table(countAll(await buildGuest()));
}

function table(counted) {
  return {
    title: "Instructions",
    rows: counted.map(({ name, instructions }) => ({ label: name, value: instructions, unit: "" })),
  };
}

/** One line for each count that is off. */
export function compare(counted, expected) {
  const off = counted.flatMap(({ name, instructions }) => {
    const before = expected[name];
    if (before === undefined) return [`${name}: ${instructions}, and none is expected`];
    const change = instructions / before - 1;
    return Math.abs(change) > TOLERANCE
      ? [
          `${name}: ${instructions} instead of ${before}, ${change > 0 ? "+" : "−"}${Math.abs(change * 100).toFixed(1)} %`,
        ]
      : [];
  });
  const gone = Object.keys(expected).filter((name) => !counted.some((one) => one.name === name));
  return [...off, ...gone.map((name) => `${name}: is expected, but this case does not exist`)];
}

const expected = () => (existsSync(EXPECTED) ? JSON.parse(readFileSync(EXPECTED, "utf8")) : {});

/**
 * Returns where the guest is. `named`: with the names of functions; counts then differ by less than
 * a hundredth, as the order of functions does.
 */
async function buildGuest({ named = false } = {}) {
  await ensureRust();
  checkLock();
  mkdirSync(CACHE, { recursive: true });
  const profile = join(CACHE, "worker-profile.toml");
  writeFileSync(
    profile,
    named ? workerProfile().replace(NAMELESS, 'strip = "none"') : workerProfile(),
  );
  const args = [
    "--locked",
    "--release",
    "--target",
    "wasm32-unknown-unknown",
    "--package",
    "clawfront-guest",
    "--config",
    profile,
  ];
  const built = await step(
    "Core to count instructions of",
    (onLine) => cargoBuild(args, { cwd: FOLDER, env: wasmEnvironment(), onLine }),
    { fix: "the compiler's message is above." },
  );
  return built["clawfront_guest.wasm"];
}

/** The release profile of the Worker, as cargo takes it from another file. */
function workerProfile() {
  const sections = readFileSync(join(ROOT, "Cargo.toml"), "utf8").match(
    /^\[profile\.release\b.*\]\n(?:(?!\[).*\n)*/gm,
  );
  if (!sections?.[0].includes(NAMELESS))
    throw new Failure("The release profile of Cargo.toml is not as it was.", {
      fix: "see bench/instructions/instructions.mjs.",
    });
  return sections.join("");
}

/**
 * Fails unless both workspaces have every common package at one version, because the counted code
 * must be the code of the Worker.
 */
function checkLock() {
  const [worker, ours] = [join(ROOT, "Cargo.lock"), join(FOLDER, "Cargo.lock")].map(versionsIn);
  const others = [...ours].filter(
    ([name, versions]) =>
      worker.has(name) && !versions.every((version) => worker.get(name).includes(version)),
  );
  if (others.length === 0) return;
  const updates = others.map(
    ([name, versions]) => `cargo update ${name}@${versions[0]} --precise ${worker.get(name)[0]}`,
  );
  throw new Failure(
    `bench/instructions/Cargo.lock has other versions than the Worker of ${others.map(([name]) => name).join(", ")}.`,
    {
      fix: `in bench/instructions run \`${updates.join(" && ")}\`.`,
    },
  );
}

function versionsIn(path) {
  const versions = new Map();
  for (const [, name, version] of readFileSync(path, "utf8").matchAll(
    /^name = "(.+)"\nversion = "(.+)"$/gm,
  ))
    versions.set(name, [...(versions.get(name) ?? []), version]);
  return versions;
}

async function main() {
  const { values } = parseArgs({
    options: { renew: { type: "boolean", default: false }, functions: { type: "string" } },
  });
  const counted = countAll(await buildGuest({ named: values.functions !== undefined }));
  if (values.functions !== undefined) {
    for (const { name, instructions, functions } of counted.filter(({ name }) =>
      name.includes(values.functions),
    )) {
      const rows = functions.slice(0, FUNCTIONS).map((one) => ({
        label: readable(one.name),
        value: one.instructions,
        unit: `${((100 * one.instructions) / instructions).toFixed(1)} %`,
      }));
      printTable({ title: `${name}: ${instructions}`, rows }, say);
    }
    return;
  }
  printTable(table(counted), say);
  if (values.renew) {
    writeFileSync(
      EXPECTED,
      `${JSON.stringify(Object.fromEntries(counted.map(({ name, instructions }) => [name, instructions])), null, 2)}\n`,
    );
    renewTable("instructions", table(counted), PAGE);
    say("renewed bench/instructions/expected.json and docs/performance.md");
  } else {
    for (const line of compare(counted, expected())) say(line);
  }
}

/**
 * The identifiers of a mangled name, of either of Rust's two schemes: enough to find the function.
 */
function readable(name) {
  const identifiers = [];
  // The text between identifiers. In the newer scheme it has hashes and back references, which have
  // digits of their own.
  const between = name.startsWith("_ZN")
    ? /^(?:(\d+)|.)/s
    : /^(?:C?s[0-9a-zA-Z]*?_|B[0-9a-zA-Z]*?_|(\d+)_?|.)/s;
  for (let rest = name; rest; ) {
    const [skipped, length] = rest.match(between);
    const identifier = rest.slice(skipped.length, skipped.length + Number(length ?? 0));
    if (identifier && !/^h[0-9a-f]{16}$/.test(identifier)) identifiers.push(identifier);
    rest = rest.slice(skipped.length + identifier.length);
  }
  return (
    name.startsWith("_")
      ? identifiers
          .join("::")
          .replace(/(^|::)_(?=\$)/g, "$1")
          .replace(/\$\w+?\$|\.\./g, (sign) => SIGNS[sign] ?? sign)
      : name
  ).slice(0, NAME_CHARS);
}

const SIGNS = {
  $LT$: "<",
  $GT$: ">",
  $RF$: "&",
  $C$: ",",
  $u20$: " ",
  $u7b$: "{",
  $u7d$: "}",
  $u5b$: "[",
  $u5d$: "]",
  "..": "::",
};
const NAME_CHARS = 100;

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runCommand("Instructions", main);
}
