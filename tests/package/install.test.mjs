// The npm packages on a machine without Rust: their files, and the commands in an empty folder.

import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { run } from "../../scripts/processes.mjs";
import { temporaryFolder } from "../support/folder.mjs";
import { install, killPrograms, PLATFORM, runProgram, startProgram } from "../support/package.mjs";
import { startSim } from "../support/sim.mjs";

/** The promise to a user, on a machine that runs other tests. */
const START_MS = 30_000;

const folder = temporaryFolder("package");
after(killPrograms);
let installed, clawfront;
before(async () => {
  installed = await install(folder);
  clawfront = (args, more = {}) =>
    runProgram(installed.bin, args, {
      cwd: installed.home,
      env: { ...installed.env, ...more },
    });
});

test("the package has every file that its files import, and the versions of this checkout", async () => {
  const [, tarball] = installed.packed.tarballs;
  const listed = await run("tar", ["tzf", tarball]);
  const files = listed.split("\n").map((line) => line.replace(/^package\//, ""));
  const own = join(installed.home, "node_modules/clawfront");
  let count = 0;
  for (const path of files.filter((path) => /\.(?:mjs|cjs)$/.test(path))) {
    const text = readFileSync(join(own, path), "utf8");
    for (const [, name] of text.matchAll(/(?:from |require\(|import\(|import )"(\.[^"]+)"/g)) {
      count += 1;
      const target = normalize(join(dirname(path), name));
      assert.ok(files.includes(target), `${path} imports ${target}`);
    }
  }
  assert.ok(count > 20, `${count} imports`);
  const manifest = JSON.parse(readFileSync(join(own, "package.json"), "utf8"));
  const { version, devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  assert.equal(manifest.version, version);
  assert.deepEqual(manifest.dependencies, {
    dotenv: devDependencies.dotenv,
    workerd: devDependencies.workerd,
  });
  assert.deepEqual(manifest.optionalDependencies, { [`clawfront-${PLATFORM}`]: version });
  assert.ok(!files.some((path) => path.includes(".dev.vars") && !path.endsWith(".example")));
});

test("`clawfront start` shows a streamed answer, and leaves nothing behind", async () => {
  const started = performance.now();
  const { child, lines, ended } = startProgram(installed.bin, ["start", "--port", "0", "--json"], {
    cwd: installed.home,
    env: installed.env,
  });
  const ready = await new Promise((resolve, reject) => {
    child.stdout.once("data", (line) => resolve(JSON.parse(line)));
    ended.then((code) => reject(new Error(`${code}: ${lines.stderr.join("\n")}`)));
  });
  assert.ok(performance.now() - started < START_MS);
  assert.match(lines.stderr.join("\n"), /openclaw {2}Hello! This answer comes from/);
  const models = await fetch(`${ready.url}/v1/models`, {
    headers: { authorization: `Bearer ${ready.key}` },
  });
  assert.equal(models.status, 200);
  await models.text();
  child.kill("SIGTERM");
  assert.equal(await ended, 128 + 15);
  for (let tries = 0; await answers(ready.url); tries += 1) {
    assert.ok(tries < 100, "workerd has ended");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

const answers = (url) =>
  fetch(url).then(
    () => true,
    () => false,
  );

test("`setup`, `keys` and `deploy` work in the folder and name its own commands", async () => {
  const sim = await startSim({ token: "s3cret" });
  try {
    const args = ["setup", "--gateway", sim.url, "--key", "phone", "--agents", "main"];
    const setup = await clawfront(args, { GATEWAY_TOKEN: "s3cret" });
    assert.ok([0, 8].includes(setup.code), setup.stdout + setup.stderr);
    assert.match(setup.stdout, /^Next: `npx clawfront serve` .*; `npx clawfront deploy`/m);
    assert.doesNotMatch(setup.stdout + setup.stderr, /npm run|npm start/);
    const config = readFileSync(join(installed.home, "wrangler.toml"), "utf8");
    assert.match(config, /^main = "node_modules\/clawfront\/worker\/index.js"$/m);
    assert.match(config, /^directory = "node_modules\/clawfront\/assets"$/m);

    const made = await clawfront(["keys", "new", "--id", "b", "--agents", "main", "--apply"]);
    assert.equal(made.code, 0, made.stderr);
    assert.match((await clawfront(["keys", "list", "--static"])).stdout, /^b .*\n?/m);
    const revoked = await clawfront(["keys", "revoke", "b", "--apply"]);
    assert.equal(revoked.code, 0, revoked.stderr);
    assert.match(revoked.stdout + revoked.stderr, /`npx clawfront serve`/);

    const deploy = await clawfront(["deploy", "--allow-private"]);
    assert.equal(deploy.code, 1);
    assert.match(deploy.stderr, /Fix: install it with `npm install wrangler@4`/);
  } finally {
    await sim.stop();
  }
});

test("a configuration that is there stays, and none is made for a package elsewhere", async () => {
  const path = join(installed.home, "wrangler.toml");
  writeFileSync(path, "# mine\n");
  await clawfront(["deploy"]);
  assert.equal(readFileSync(path, "utf8"), "# mine\n");
  rmSync(path);
  const elsewhere = join(folder, "programs");
  const { code, stderr } = await runProgram(installed.bin, ["deploy"], {
    cwd: elsewhere,
    env: installed.env,
  });
  assert.equal(code, 1);
  assert.match(stderr, /The package clawfront is not installed in this folder/);
  assert.ok(!existsSync(join(elsewhere, "wrangler.toml")));
});

test("without the package of the platform, the command names it", async () => {
  // The last test: it stays away.
  rmSync(join(installed.home, "node_modules", `clawfront-${PLATFORM}`), { recursive: true });
  const { code, stderr } = await clawfront(["keys", "list"]);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /The package clawfront-\S+, which has this command, is not installed\. Fix:/,
  );
});
