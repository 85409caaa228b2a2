// Tests the lists that `clawfront keys` reads and writes: mistakes in them, writers at once, rights
// of files.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { json, KEY, keys, own } from "../support/keys-command.mjs";
import { startSim } from "../support/sim.mjs";

describe("lists", () => {
  test("a list goes through standard input and output, the key beside it", async () => {
    const first = await keys(["new", "--id", "a", "--agents", "main", "--file", "-"]);
    assert.match(first.stdout, /^a sha256:[0-9a-f]{64} agents=main\n$/);
    assert.match(first.stderr, KEY);
    const input = `# people\n${first.stdout}\n# jobs\n`;
    const second = await keys(["new", "--id", "b", "--agents", "*", "--file", "-"], { input });
    assert.ok(
      second.stdout.startsWith(input) && /\nb sha256:[0-9a-f]{64} agents=\*\n$/.test(second.stdout),
      second.stdout,
    );
    const third = await keys(["revoke", "b", "--file", "-"], { input: second.stdout });
    assert.equal(third.stdout, input);
    assert.equal((await keys(["revoke", "a", "--file", "-", "--apply"], { input })).code, 2);
  });

  test("mistakes are reported in the Worker's words, and nothing is changed", async () => {
    const cwd = own("mistakes");
    const good = (await json(["new", "--id", "a", "--agents", "main", "--file", "-"])).entry;
    const list = `${good}\nb hunter2 agents=main\n${good.replace("a ", "c ")}; d sha256:abc\n`;
    writeFileSync(join(cwd, "list"), list);
    const told = await keys(["check", "--file", "list", "--json"], { cwd });
    const mistakes = [
      "CLIENT_KEYS: entry 2: sha256:<64 lower-case hex digits> must follow the id",
      "CLIENT_KEYS: entry 3: c: has the same hash as a",
      "CLIENT_KEYS: entry 4: sha256:<64 lower-case hex digits> must follow the id",
    ];
    assert.deepEqual([told.code, JSON.parse(told.stdout).mistakes], [4, mistakes]);
    for (const args of [
      ["check"],
      ["list"],
      ["revoke", "a", "--apply"],
      ["new", "--id", "e", "--agents", "*", "--apply"],
      ["push"],
    ]) {
      const { code, stdout, stderr } = await keys([...args, "--file", "list"], { cwd });
      assert.deepEqual([code, stdout], [4, ""], args[0]);
      assert.equal(stderr, `clawfront: the list has mistakes\n${mistakes.join("\n")}\n`);
    }
    assert.equal(readFileSync(join(cwd, "list"), "utf8"), list);
  });

  test("a value that would be overwritten, or does not exist, has a code of its own", async () => {
    const cwd = own("codes");
    await json(["new", "--id", "a", "--agents", "main", "--apply"], { cwd });
    assert.equal(statSync(join(cwd, ".dev.vars")).mode & 0o777, 0o600, "a new file is its owner's");
    for (const [code, ...args] of [
      [5, "new", "--id", "a", "--agents", "main", "--apply"],
      [2, "new", "--static", "--id", "A", "--agents", "main"],
      [2, "new", "--static", "--id", "b", "--agents", "main", "--expires", "soon"],
      [2, "new", "--static", "--id", "b", "--agents", "main;c"],
      [2, "new", "--static", "--id", "b"],
      [2, "new", "--id", "b", "--agents", "main", "--name", "worker"],
      [2, "show"],
      [6, "revoke", "--static", "b"],
      [1, "list", "--file", "nowhere"],
    ]) {
      const { code: seen, stdout } = await keys(args, { cwd });
      assert.deepEqual([seen, stdout], [code, ""], args.join(" "));
    }
    const clear = "claw_a_a4dqobyha4dqobyha4dqobyha4dqobyh";
    for (const args of [
      ["show", clear],
      ["revoke", clear],
      ["new", "--id", clear, "--agents", "*"],
      ["new", "--id", "c", "--agents", clear],
      ["new", "--id", "c", "--agents", "*", "--label", clear],
    ].flatMap((args) => [args, [...args, "--static"]])) {
      const { code, stdout, stderr } = await keys(args, { cwd });
      assert.equal(code, 2);
      assert.ok(!`${stdout}${stderr}`.includes(clear), "a key given by mistake is not repeated");
    }
  });
});

test("four writers at once lose nothing", async () => {
  const cwd = own("parallel");
  writeFileSync(join(cwd, ".dev.vars"), "OTHER='kept'\n");
  const gone = Array.from({ length: 4 }, (_, n) => `old${n}`);
  for (const id of gone) await json(["new", "--id", id, "--agents", "main", "--apply"], { cwd });
  const writer = async (n) => {
    for (let k = 0; k < 6; k += 1)
      await json(["new", "--id", `k${n}-${k}`, "--agents", "main", "--apply"], { cwd });
    await json(["revoke", `old${n}`, "--apply"], { cwd });
  };
  await Promise.all([0, 1, 2, 3].map(writer));
  const ids = (await json(["list", "--static"], { cwd })).keys.map(({ id }) => id);
  assert.equal(new Set(ids).size, 24);
  assert.ok(!gone.some((id) => ids.includes(id)), "every revoke holds");
  assert.deepEqual(readdirSync(cwd), [".dev.vars"]);
});

test("a pipe is refused at once, and a file that everybody can read is reported", async () => {
  const cwd = own("files");
  execFileSync("mkfifo", [join(cwd, ".dev.vars")]);
  assert.equal((await keys(["list", "--static"], { cwd })).code, 1);
  rmSync(join(cwd, ".dev.vars"));
  writeFileSync(join(cwd, ".dev.vars"), "A=1\n", { mode: 0o644 });
  chmodSync(join(cwd, ".dev.vars"), 0o644);
  const path = join(cwd, ".dev.vars");
  await json(["new", "--id", "a", "--agents", "main", "--apply"], { cwd });
  assert.equal(statSync(path).mode & 0o777, 0o640, "the rights of other users were not changed");
  chmodSync(path, 0o644);
  assert.match(
    (await keys(["list", "--static"], { cwd })).stderr,
    /^warning: every user .* can read .*chmod 600/,
  );
});

test("a mistake in a new entry is reported when it is made", async () => {
  const cwd = own("advice");
  const sim = await startSim({ args: ["--agent", "main", "--agent", "notes"] });
  writeFileSync(join(cwd, ".dev.vars"), `GATEWAY_URL='${sim.url}'\nGATEWAY_TOKEN='${sim.token}'\n`);
  try {
    const typo = await keys(["new", "--id", "a", "--agents", "note", "--apply"], { cwd });
    assert.equal(typo.code, 0);
    assert.match(
      typo.stderr,
      /warning: the gateway has no agent note; it has .*notes\. Did you mean notes\?/,
    );
    const good = await keys(["new", "--id", "b", "--agents", "notes", "--rpm", "30", "--apply"], {
      cwd,
    });
    assert.deepEqual([good.code, good.stderr], [0, ""]);
  } finally {
    await sim.stop();
  }
  const offline = await keys(["new", "--id", "c", "--agents", "main,notes", "--apply"], { cwd });
  assert.match(offline.stderr, /not checked: it is not reached \(connection_refused\)/);
});
