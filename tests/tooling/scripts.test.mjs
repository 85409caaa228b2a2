// Tests the parts that scripts rely on: locks, stamps, cargo's paths, the check of the machine, and
// that every tool is pinned.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, test } from "node:test";
import { cargoBuild, nativeEnvironment, wasmEnvironment } from "../../scripts/cargo.mjs";
import { readGateway } from "../../scripts/dev-vars.mjs";
import { exclusively } from "../../scripts/locks.mjs";
import { ROOT } from "../../scripts/paths.mjs";
import { run } from "../../scripts/processes.mjs";
import { environment } from "../../scripts/setup.mjs";
import { ensure, hashOfPackages, sweep } from "../../scripts/stamps.mjs";
import { temporaryFolder } from "../support/folder.mjs";
import { until } from "../support/front.mjs";

const MACHINE = join(ROOT, "scripts/machine.cjs");
const { MIN_GLIBC, MIN_NODE, problemOf } = createRequire(import.meta.url)(MACHINE);
const read = (path) => readFileSync(join(ROOT, path), "utf8");

const folder = temporaryFolder("scripts");

/** Runs a module that has `exclusively`, `folder` and file functions; resolves when it ends. */
function holder(code) {
  const head = `import { exclusively } from ${JSON.stringify(join(ROOT, "scripts/locks.mjs"))}; import * as fs from "node:fs"; const folder = ${JSON.stringify(folder)};`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", head + code], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return { child, ended: new Promise((resolve) => child.on("close", resolve)) };
}

/** Returns the states of a group's processes. One that has ended may still wait for its parent. */
const runningIn = (group) =>
  execFileSync("ps", ["-eo", "pgid=,stat="], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([pgid, state]) => Number(pgid) === group && !state.startsWith("Z"));

/** The packages of `scripts/tools` that come from no registry. */
const OURS = ["binary-install", "clawfront-tools", "env_logger", "ureq", "worker-codegen"];

describe("a lock", () => {
  test("lets one process in at a time, and all of them in the end", async () => {
    const counter = join(folder, "counter");
    writeFileSync(counter, "0");
    const count = `for (let i = 0; i < 5; i++) await exclusively("count", async () => {
      const before = Number(fs.readFileSync(folder + "/counter", "utf8"));
      await new Promise((resolve) => setTimeout(resolve, 5));
      fs.writeFileSync(folder + "/counter", String(before + 1));
    }, { folder: folder + "/locks" });`;
    const codes = await Promise.all(Array.from({ length: 4 }, () => holder(count).ended));
    assert.deepEqual(codes, [0, 0, 0, 0]);
    assert.equal(readFileSync(counter, "utf8"), "20");
  });

  test("is free when its holder was killed", async () => {
    const { child, ended } = holder(
      `await exclusively("killed", () => (fs.writeFileSync(folder + "/held", ""), new Promise((resolve) => setTimeout(resolve, 600_000))), { folder: folder + "/locks" });`,
    );
    await until("it holds the lock", () => existsSync(join(folder, "held")));
    child.kill("SIGKILL");
    await ended;
    assert.equal(
      await exclusively("killed", () => "mine", { folder: join(folder, "locks") }),
      "mine",
    );
  });

  test("is held until the programs of a killed holder have ended", async () => {
    const program = `trap "" TERM; echo > ${folder}/started; sleep 600`;
    const { child, ended } =
      holder(`import { start } from ${JSON.stringify(join(ROOT, "scripts/processes.mjs"))};
      await exclusively("outlived", async () => (fs.writeFileSync(folder + "/group", String(start("sh", ["-c", ${JSON.stringify(program)}]).pid)), new Promise((resolve) => setTimeout(resolve, 600_000))), { folder: folder + "/locks" });`);
    const written = (name) =>
      existsSync(join(folder, name)) && readFileSync(join(folder, name)).length > 0;
    await until("its program runs", () => written("started") && written("group"));
    child.kill("SIGKILL");
    await ended;
    const group = Number(readFileSync(join(folder, "group"), "utf8"));
    assert.notDeepEqual(runningIn(group), []);
    const left = await exclusively("outlived", () => runningIn(group), {
      folder: join(folder, "locks"),
    });
    assert.deepEqual(left, []);
  });

  test("is free when its holder failed", async () => {
    const options = { folder: join(folder, "locks") };
    await assert.rejects(
      exclusively("failed", () => Promise.reject(new Error("no")), options),
      /no/,
    );
    assert.equal(await exclusively("failed", () => "mine", options), "mine");
  });
});

describe("a stamp", () => {
  const made = () => join(folder, "modules");
  let makes = 0;
  const wanted = (
    inputs,
    make = () => {
      makes++;
      mkdirSync(join(made(), "one"), { recursive: true });
      writeFileSync(join(made(), "one/package.json"), "{}");
    },
  ) =>
    ensure({
      name: "stamp-of-tests",
      stamp: join(folder, "stamp"),
      inputs,
      outputs: () => hashOfPackages(made()),
      make,
    });

  test("says that nothing is to be done, until the inputs change or the outputs do", async () => {
    assert.deepEqual([await wanted("a"), await wanted("a"), makes], [true, false, 1]);
    assert.deepEqual([await wanted("b"), await wanted("b"), makes], [true, false, 2]);
    rmSync(join(made(), "one"), { recursive: true, force: true });
    assert.deepEqual([await wanted("b"), makes], [true, 3]);
    writeFileSync(join(made(), "one/package.json"), '{"version":"2"}');
    assert.deepEqual([await wanted("b"), makes], [true, 4]);
  });

  test("is gone while the work is done, and stays away where it fails", async () => {
    await wanted("c");
    await assert.rejects(
      wanted("d", () => assert.ok(existsSync(join(folder, "stamp")), "no stamp")),
      /no stamp/,
    );
    assert.ok(!existsSync(join(folder, "stamp")));
    assert.equal(await wanted("c"), true, "a result from before failed work is not taken for good");
  });
});

test("cargo says where its programs are, whatever the machine sets", async () => {
  const crate = join(folder, "crate");
  mkdirSync(join(crate, "src"), { recursive: true });
  writeFileSync(
    join(crate, "Cargo.toml"),
    '[package]\nname = "moved"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n',
  );
  writeFileSync(join(crate, "src/main.rs"), "fn main() {}\n");
  const env = {
    ...nativeEnvironment({ ...process.env, CARGO_BUILD_TARGET: "wasm32-unknown-unknown" }),
    CARGO_TARGET_DIR: join(folder, "elsewhere"),
  };
  for (const attempt of ["built", "there already"]) {
    const { moved } = await cargoBuild([], { cwd: crate, env });
    assert.ok(moved.startsWith(join(folder, "elsewhere")), attempt);
    assert.equal(await run(moved, []), "");
  }
});

test("flags of the machine do not replace those that the Worker is compiled with", () => {
  assert.match(read(".cargo/config.toml"), /^rustflags = /m);
  const flags = {
    RUSTFLAGS: "-Ctarget-cpu=native",
    CARGO_ENCODED_RUSTFLAGS: "-Ctarget-cpu=native",
    CARGO_BUILD_TARGET: "x86_64-unknown-linux-musl",
  };
  assert.deepEqual(wasmEnvironment({ PATH: "/bin", ...flags }), { PATH: "/bin" });
});

describe("a machine", () => {
  const linux = {
    platform: "linux",
    arch: "x64",
    node: `${MIN_NODE.join(".")}.0`,
    glibc: () => MIN_GLIBC.join("."),
  };
  const CASES = [
    ["Linux with the oldest of everything", {}, undefined],
    [
      "macOS",
      { platform: "darwin", arch: "arm64", glibc: () => assert.fail("not asked") },
      undefined,
    ],
    ["Node 18", { node: "18.20.8" }, /Node 18\.20\.8 is too old.*20\.12/],
    ["Node 20.11", { node: "20.11.1" }, /20\.11\.1 is too old/],
    ["Alpine", { glibc: () => undefined }, /Alpine/],
    ["an old glibc", { glibc: () => "2.17" }, /glibc 2\.17 is too old/],
    ["Windows", { platform: "win32" }, /WSL2/],
    ["another system", { platform: "freebsd" }, /freebsd is not supported/],
    ["another processor", { arch: "riscv64" }, /riscv64 is not supported/],
  ];
  for (const [name, change, problem] of CASES) {
    test(`${name} ${problem ? "is refused" : "will do"}`, () => {
      const found = problemOf({ ...linux, ...change });
      if (problem) assert.match(found, problem);
      else assert.equal(found, undefined);
    });
  }

  test("is looked at before a script is read, in words that an old Node can read", async () => {
    for (const [name, script] of Object.entries(JSON.parse(read("package.json")).scripts))
      assert.match(
        script,
        /^node -r \.\/scripts\/machine\.cjs (?:scripts|bench|fuzz|soak)\//,
        name,
      );
    const code = read("scripts/machine.cjs").replace(/\/\*\*[\s\S]*?\*\/|^ *\/\/.*$/gm, "");
    assert.doesNotMatch(code, /=>|`|\b(const|let|class|async|import)\b|\?\.|\?\?|\.\.\./);
    const old = join(folder, "old.cjs");
    writeFileSync(old, 'Object.defineProperty(process.versions, "node", { value: "20.11.1" });');
    await assert.rejects(
      run(process.execPath, ["-r", old, "-r", MACHINE, join(ROOT, "scripts/start.mjs"), "--help"]),
      (error) => {
        assert.match(
          error.output,
          /^Clawfront does not run here: Node 20\.11\.1 is too old\. Fix: install Node 20\.12 or newer\.$/,
        );
        return true;
      },
    );
  });

  test("is described alike everywhere", () => {
    const node = MIN_NODE.join(".");
    assert.equal(JSON.parse(read("package.json")).engines.node, `>=${node}`);
    assert.ok(
      read("README.md").includes(`Node ≥ ${node}.`) &&
        read("README.md").includes(`glibc ≥ ${MIN_GLIBC.join(".")} `),
    );
  });
});

describe("a program", () => {
  test("that cannot be started is an error with the reason", async () => {
    const program = join(folder, "not-a-program");
    writeFileSync(program, "", { mode: 0o644 });
    await assert.rejects(run(program, []), /not-a-program.*EACCES/s);
    await assert.rejects(run(join(folder, "missing"), []), /missing.*ENOENT/s);
  });
});

describe("what interrupted work has left", () => {
  test("is swept, and nothing else", () => {
    const cache = join(folder, "swept");
    for (const name of ["0123.partial/bin", "0123", "4567"])
      mkdirSync(join(cache, name), { recursive: true });
    sweep(cache);
    assert.deepEqual(
      ["0123.partial", "0123", "4567"].map((name) => existsSync(join(cache, name))),
      [false, true, true],
    );
    // A cache that is not there yet has nothing to sweep.
    sweep(join(folder, "none"));
  });
});

describe("all that is installed", () => {
  test("every npm package is locked with a hash of its content", () => {
    const listed = execFileSync("git", ["ls-files", "*package-lock.json"], {
      cwd: ROOT,
      encoding: "utf8",
    });
    const paths = listed.trim().split("\n");
    assert.ok(paths.length >= 7, listed);
    for (const path of paths) {
      const loose = Object.entries(JSON.parse(read(path)).packages).filter(
        ([name, { integrity, link, inBundle }]) =>
          name.includes("node_modules/") && !integrity && !link && !inBundle,
      );
      assert.deepEqual(
        loose.map(([name]) => name),
        [],
        path,
      );
    }
  });

  test("every tool of cargo's is locked, and wasm-bindgen is that of the Worker", async () => {
    assert.match(read("scripts/setup.mjs"), /"cargo-fuzz",[^}]*flags: \["--locked"\]/);
    const lock = read("scripts/tools/Cargo.lock");
    for (const [crate] of lock
      .split("\n[[package]]\n")
      .slice(1)
      .filter((one) => !/^checksum = /m.test(one))
      .map((one) => one.match(/(?<=^name = ").+(?=")/m))) {
      assert.ok(OURS.includes(crate), crate);
    }
    const [version] = read("Cargo.lock").match(/(?<=^name = "wasm-bindgen"\nversion = ").+(?="$)/m);
    assert.ok(lock.includes(`name = "wasm-bindgen-cli-support"\nversion = "${version}"`));
    assert.equal(
      await run(environment().WASM_BINDGEN_BIN, ["--version"]),
      `wasm-bindgen ${version}`,
    );
  });
});

describe(".dev.vars", () => {
  const notes = [];
  const gateway = (text) => {
    const file = join(folder, ".dev.vars");
    writeFileSync(file, text);
    return readGateway(file, (note) => notes.push(note));
  };

  test("names the gateway in every form that wrangler reads", async () => {
    for (const [text, hasClientKeys] of [
      ["GATEWAY_URL=ws://127.0.0.1:1\nGATEWAY_TOKEN=t", false],
      ["\uFEFFGATEWAY_URL=ws://127.0.0.1:1\nGATEWAY_TOKEN=t", false],
      ["GATEWAY_URL: ws://127.0.0.1:1\r\nDEVICE_TOKEN: t\r\n", false],
      [
        "# mine\nexport GATEWAY_URL='ws://127.0.0.1:1' # home\nGATEWAY_PASSWORD=`p'w`\nCLIENT_KEYS_2=x",
        true,
      ],
      [
        "\uFEFFCLIENT_KEYS: phone sha256:00 agents=main\nGATEWAY_URL=ws://127.0.0.1:1\nGATEWAY_TOKEN=t",
        true,
      ],
      ['CLIENT_KEYS="a\nb"\nGATEWAY_URL=ws://127.0.0.1:1\nGATEWAY_TOKEN=t', true],
    ]) {
      const found = await gateway(text);
      assert.deepEqual(
        [found.url, found.hasClientKeys, found.devVars],
        ["ws://127.0.0.1:1", hasClientKeys, text],
      );
    }
    assert.deepEqual(notes, []);
  });

  test("without a gateway is left alone, and without a credential is refused", async () => {
    assert.equal(await readGateway(join(folder, "none"), assert.fail), undefined);
    assert.equal(await gateway("CLIENT_KEYS=x"), undefined);
    assert.equal(notes.length, 1);
    await assert.rejects(gateway("GATEWAY_URL=ws://127.0.0.1:1\nDEVICE_KEY=k"), /no credential/);
  });
});
