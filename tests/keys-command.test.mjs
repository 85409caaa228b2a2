// `clawfront keys` from end to end: what it writes is what wrangler and the Worker read, and what it sends to Cloudflare is the list.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BUILD, CLI, ROOT } from "../scripts/paths.mjs";
import { collect, start, stop } from "../scripts/processes.mjs";
import { findNode } from "../scripts/setup.mjs";
import { WRANGLER, startCloudflare, wranglerEnv, wranglerFor } from "./support/cloudflare.mjs";
import { post, says } from "./support/front.mjs";
import { startSim } from "./support/sim.mjs";
import { startWorker } from "./support/worker.mjs";

/** Blanks, an apostrophe, what begins a comment; in its entry it stands in double quotes. */
const LABEL = "Anna's old phone # 2";
const KEY = /claw_[a-z0-9-]+_[a-z2-7]{32}/;

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-keys-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `clawfront keys …` in a folder. */
function keys(args, { cwd = folder, input = "", env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(CLI, ["keys", ...args], { cwd, env: { ...process.env, ...env } });
    const seen = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (seen[name] += text));
    child.on("error", reject).on("close", (code) => resolve({ code, ...seen }));
    child.stdin.on("error", () => {}).end(input);
  });
}

/** The same for a command that succeeds, with its JSON. */
async function json(args, options) {
  const { code, stdout, stderr } = await keys([...args, "--json"], options);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  return JSON.parse(stdout);
}

/** A folder of a test's own. */
function own(name) {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

/** dotenv's `parse` as wrangler bundles it: the rules that `.dev.vars` is read by. */
const parseAsWrangler = (() => {
  const source = readFileSync(join(WRANGLER, "wrangler-dist/cli.js"), "utf8");
  const from = source.indexOf("var LINE = /(?:^|^)\\s*(?:export");
  const to = source.indexOf("__name(", from);
  assert.ok(from > 0 && to > from, "wrangler reads dotenv files in another way than it did: see cli/src/keys/dotenv.rs");
  const name = source.slice(from, to).match(/function (\w+)\(/)[1];
  return new Function(`${source.slice(from, to)}; return ${name};`)();
})();

describe("the life of a key", () => {
  let cwd, sim, vars;
  const stops = [];
  before(async () => {
    cwd = own("life");
    sim = await startSim({ args: ["--agent", "main", "--agent", "beta"] });
    stops.push(sim.stop);
    vars = { GATEWAY_URL: sim.url, GATEWAY_TOKEN: sim.token };
  });
  after(async () => {
    for (const end of stops.reverse()) await end();
  });

  /** The statuses that a Worker with the list of `.dev.vars`, as wrangler would read it, answers these keys with. */
  async function statuses(...presented) {
    const worker = await startWorker({ vars: { ...vars, ...parseAsWrangler(readFileSync(join(cwd, ".dev.vars"))) } });
    try {
      const answers = [];
      for (const key of presented) answers.push((await fetch(`${worker.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })).status);
      return answers;
    } finally {
      await worker.stop();
    }
  }

  let phone, renewed, guest;

  test("a new key works, and nothing but its hash is kept", async () => {
    writeFileSync(join(cwd, ".dev.vars"), "# mine\r\nOTHER = 'kept'   # and this\r\n");
    chmodSync(join(cwd, ".dev.vars"), 0o640);
    phone = await json(["new", "--id", "phone", "--agents", "main,beta", "--default", "main", "--label", LABEL, "--rpm", "30", "--apply"], { cwd });
    guest = await json(["new", "--id", "guest", "--agents", "beta", "--expires", "2001-01-01", "--apply=file"], { cwd });
    assert.deepEqual(Object.keys(phone), ["applied", "entry", "file", "id", "key", "list", "worker"]);
    assert.match(phone.key, KEY);
    assert.deepEqual([phone.applied, phone.file, phone.worker], [["file"], ".dev.vars", null]);
    const text = readFileSync(join(cwd, ".dev.vars"), "utf8");
    assert.equal(text, `# mine\r\nOTHER = 'kept'   # and this\r\nCLIENT_KEYS=\`${phone.entry}\r\n${guest.entry}\`\r\n`);
    assert.ok(!text.includes(phone.key) && !text.includes("claw_"));
    assert.equal(statSync(join(cwd, ".dev.vars")).mode & 0o777, 0o640);
    assert.deepEqual(readdirSync(cwd), [".dev.vars"]);

    const worker = await startWorker({ vars: { ...vars, ...parseAsWrangler(text) } });
    stops.push(worker.stop);
    const response = await post(worker, phone, says("hi [[fake deltas=1]]"));
    assert.equal(response.status, 200);
    await response.text();
    const own = await (await fetch(`${worker.url}/v1/key`, { headers: { authorization: `Bearer ${phone.key}` } })).json();
    assert.deepEqual([own.id, own.label], ["phone", LABEL]);
    assert.deepEqual(await statuses(guest.key), [401], "it has expired");
  });

  test("list and show say what there is", async () => {
    const { file, keys: listed, secrets } = await json(["list"], { cwd });
    assert.equal(file, ".dev.vars");
    assert.deepEqual(
      listed.map(({ id, state, rotating, entry }) => [id, state, rotating, entry]),
      [
        ["phone", "good", false, undefined],
        ["guest", "expired", false, undefined],
      ],
    );
    assert.deepEqual(secrets, [{ name: "CLIENT_KEYS", bytes: phone.entry.length + guest.entry.length + 1, limit: 5000 }]);
    const shown = await json(["show", "phone"], { cwd });
    assert.deepEqual([shown.entry, shown.label, shown.requests_per_minute, shown.default_agent], [phone.entry, LABEL, 30, "main"]);
    const table = (await keys(["list"], { cwd })).stdout;
    assert.match(table, /^phone {2}good +main,beta {2}never +Anna's old phone # 2$/m);
    assert.match(table, /^guest {2}expired {2}beta +2001-01-01$/m);
    assert.equal((await keys(["show", "nobody"], { cwd })).code, 6);
  });

  test("without --apply nothing changes", async () => {
    const before = readFileSync(join(cwd, ".dev.vars"), "utf8");
    for (const args of [["new", "--id", "x", "--agents", "*"], ["rotate", "phone"], ["revoke", "phone"]]) {
      const { code, stdout } = await keys(args, { cwd });
      assert.equal(code, 0);
      assert.match(stdout, /^Nothing was changed/m);
      assert.ok(!stdout.includes("kept"), "other variables are not shown");
    }
    assert.equal(readFileSync(join(cwd, ".dev.vars"), "utf8"), before);
  });

  test("while a key is replaced both are good, then the new one alone", async () => {
    renewed = await json(["rotate", "phone", "--apply"], { cwd });
    assert.notEqual(renewed.key, phone.key);
    assert.deepEqual(await statuses(phone.key, renewed.key), [200, 200]);
    const again = await keys(["rotate", "phone", "--apply"], { cwd });
    assert.equal(again.code, 5);
    assert.equal(again.stdout, "");
    const finished = await json(["rotate", "phone", "--finish", "--apply"], { cwd });
    assert.equal(finished.key, undefined);
    assert.deepEqual(await statuses(phone.key, renewed.key), [401, 200]);
    assert.equal((await keys(["rotate", "phone", "--finish", "--apply"], { cwd })).code, 5);
  });

  test("check says who a key is, or why not, as the Worker would", async () => {
    const check = (key, ...more) => keys(["check", "--key-stdin", "--json", ...more], { cwd, input: `${key}\n` });
    const verdict = async (key, ...more) => {
      const { code, stdout } = await check(key, ...more);
      const { id, reason } = JSON.parse(stdout).key;
      assert.ok(!stdout.includes(key));
      return [code, id ?? reason];
    };
    assert.deepEqual(await verdict(renewed.key), [0, "phone"]);
    assert.deepEqual(await verdict(phone.key), [7, "key_wrong_secret"]);
    assert.deepEqual(await verdict(guest.key), [7, "key_expired"]);
    assert.deepEqual(await verdict("sk-something-else"), [7, "key_malformed"]);
    const home = await json(["new", "--id", "home", "--agents", "*", "--networks", "203.0.113.0/24", "--apply"], { cwd });
    assert.deepEqual(await verdict(home.key), [7, "key_network"]);
    assert.deepEqual(await verdict(home.key, "--address", "203.0.113.7"), [0, "home"]);
    assert.deepEqual(await verdict(home.key, "--address", "198.51.100.1"), [7, "key_network"]);
    assert.equal((await keys(["check"], { cwd })).stdout, "3 keys, no mistakes.\n");
  });

  test("a revoked key gets 401", async () => {
    const revoked = await json(["revoke", "phone", "--apply"], { cwd });
    assert.deepEqual([revoked.id, revoked.entry, revoked.key], ["phone", null, undefined]);
    assert.deepEqual(await statuses(renewed.key), [401]);
    assert.match(readFileSync(join(cwd, ".dev.vars"), "utf8"), /^# mine\r\nOTHER = 'kept' {3}# and this\r\nCLIENT_KEYS=`guest sha256:/);
  });
});

describe("lists", () => {
  test("a list goes through standard input and output, the key beside it", async () => {
    const first = await keys(["new", "--id", "a", "--agents", "main", "--file", "-"]);
    assert.match(first.stdout, /^a sha256:[0-9a-f]{64} agents=main\n$/);
    assert.match(first.stderr, KEY);
    const input = `# people\n${first.stdout}\n# jobs\n`;
    const second = await keys(["new", "--id", "b", "--agents", "*", "--file", "-"], { input });
    assert.ok(second.stdout.startsWith(input) && /\nb sha256:[0-9a-f]{64} agents=\*\n$/.test(second.stdout), second.stdout);
    const third = await keys(["revoke", "b", "--file", "-"], { input: second.stdout });
    assert.equal(third.stdout, input);
    assert.equal((await keys(["revoke", "a", "--file", "-", "--apply"], { input })).code, 2);
  });

  test("mistakes are told in the Worker's words, and nothing is changed", async () => {
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
    for (const args of [["check"], ["list"], ["revoke", "a", "--apply"], ["new", "--id", "e", "--agents", "*", "--apply"], ["push"]]) {
      const { code, stdout, stderr } = await keys([...args, "--file", "list"], { cwd });
      assert.deepEqual([code, stdout], [4, ""], args[0]);
      assert.equal(stderr, `clawfront: the list has mistakes\n${mistakes.join("\n")}\n`);
    }
    assert.equal(readFileSync(join(cwd, "list"), "utf8"), list);
  });

  test("what would be overwritten, or is not there, has a code of its own", async () => {
    const cwd = own("codes");
    await json(["new", "--id", "a", "--agents", "main", "--apply"], { cwd });
    assert.equal(statSync(join(cwd, ".dev.vars")).mode & 0o777, 0o600, "a new file is its owner's");
    for (const [code, ...args] of [
      [5, "new", "--id", "a", "--agents", "main", "--apply"],
      [2, "new", "--id", "A", "--agents", "main"],
      [2, "new", "--id", "b", "--agents", "main", "--expires", "soon"],
      [2, "new", "--id", "b", "--agents", "main;c"],
      [2, "new", "--id", "b", "--agents", "main", "--name", "worker"],
      [2, "show"],
      [6, "revoke", "b"],
      [1, "list", "--file", "nowhere"],
    ]) {
      const { code: seen, stdout } = await keys(args, { cwd });
      assert.deepEqual([seen, stdout], [code, ""], args.join(" "));
    }
    const clear = "claw_a_a4dqobyha4dqobyha4dqobyha4dqobyh";
    for (const args of [["show", clear], ["revoke", clear], ["new", "--id", clear, "--agents", "*"], ["new", "--id", "c", "--agents", clear], ["new", "--id", "c", "--agents", "*", "--label", clear]]) {
      const { code, stdout, stderr } = await keys(args, { cwd });
      assert.equal(code, 2);
      assert.ok(!`${stdout}${stderr}`.includes(clear), "a key given by mistake is not repeated");
    }
  });
});

describe("dotenv files", () => {
  test("whatever is in them, wrangler reads the list that was meant and all else as before", async () => {
    const cwd = own("dotenv");
    const labels = ["plain", "Anna's phone", "back`tick", "a # b", "$HOME ${x}", "ends in \\", "new\\nline", "é ü 電話", "it's `this`"];
    const files = ["", "A=1", "A=1\r\nB='x\r\ny'\r\n", "\ufeffA=1\n", "CLIENT_KEYS=\nA=1\n", "export CLIENT_KEYS=''\n", 'CLIENT_KEYS=""  # none\nA="q\\nr"\n', "A='open\nB=1\n", "A: 1\nCLIENT_KEYS:  \n", "A=`x`\n#CLIENT_KEYS=old\nB=\n"];
    for (const text of files) {
      const path = join(cwd, "case.vars");
      writeFileSync(path, text);
      const entries = [];
      for (const [index, label] of labels.entries()) {
        const args = ["new", "--id", `k${index}`, "--agents", "main", "--label", label, "--apply", "--file", "case.vars"];
        const { code, stdout, stderr } = await keys([...args, "--json"], { cwd });
        if (label.includes("`") && entries.length > 0 && code === 1) {
          // Of the three quotes one must not occur in the list.
          assert.match(stderr, /no quotes are left/);
          continue;
        }
        assert.equal(code, 0, stderr);
        entries.push(JSON.parse(stdout).entry);
        const { CLIENT_KEYS, ...others } = parseAsWrangler(readFileSync(path));
        const { CLIENT_KEYS: _, ...before } = parseAsWrangler(text);
        assert.equal(CLIENT_KEYS, entries.join("\n"), JSON.stringify(text));
        assert.deepEqual(others, before, JSON.stringify(text));
      }
      assert.ok(entries.length >= labels.length - 2);
    }
  });

  test("wrangler dev reads what was written", async () => {
    const cwd = own("dev");
    writeFileSync(join(cwd, ".dev.vars"), "GATEWAY_URL=ws://127.0.0.1:1\nGATEWAY_TOKEN='x'\n");
    const phone = await json(["new", "--id", "phone", "--agents", "main", "--label", LABEL, "--apply"], { cwd });
    const bot = await json(["new", "--id", "bot", "--agents", "main", "--label", "a  b", "--apply"], { cwd });
    const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
    // The Worker is built already; its configuration's build would run here again.
    writeFileSync(join(cwd, "wrangler.toml"), `name = "clawfront"\nmain = ${JSON.stringify(join(BUILD, "index.js"))}\n${toml.match(/^compatibility_.*$/gm).join("\n")}\n`);
    const child = start(findNode(), [join(WRANGLER, "bin/wrangler.js"), "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"], {
      cwd,
      env: { ...process.env, ...wranglerEnv(cwd), CLOUDFLARE_CF_FETCH_ENABLED: "false" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    try {
      const output = [];
      const url = await Promise.race([
        new Promise((resolve) => {
          const take = (line) => (output.push(line), line.includes("Ready on ") && resolve(line.match(/http:\/\/\S+/)[0]));
          collect(child.stdout, take);
          collect(child.stderr, take);
        }),
        child.ended,
      ]);
      assert.equal(typeof url, "string", output.join("\n"));
      for (const [key, label] of [
        [phone.key, LABEL],
        [bot.key, "a  b"],
      ]) {
        const response = await fetch(`${url}/v1/key`, { headers: { authorization: `Bearer ${key}` } });
        assert.equal((await response.json()).label, label, output.join("\n"));
      }
    } finally {
      await stop(child);
    }
  });
});

describe("the deployed Worker", () => {
  let cwd, api, env;
  before(async () => {
    api = await startCloudflare();
    cwd = own("deployed");
    env = wranglerFor(cwd, api);
    mkdirSync(join(cwd, "below"));
    writeFileSync(join(cwd, "below/.env"), "WRANGLER_LOG=debug\nWRANGLER_LOG_SANITIZE=false\n");
  });
  after(() => api.stop());

  const push = (args, more = {}) => keys([...args, "--name", "front"], { cwd: join(cwd, "below"), env, ...more });

  test("one request sets the list, in file and Worker", async () => {
    const { code, stdout, stderr } = await push(["new", "--id", "phone", "--agents", "main", "--label", LABEL, "--apply=both", "--json"]);
    assert.equal(code, 0, stderr);
    const { applied, entry, key, worker } = JSON.parse(stdout);
    assert.deepEqual(applied, ["file", "worker"]);
    assert.deepEqual(worker, { set: ["CLIENT_KEYS"], deleted: [] });
    assert.deepEqual(api.take(), [
      { method: "GET", path: "/accounts/account/workers/scripts/front/secrets", body: null },
      {
        method: "PATCH",
        path: "/accounts/account/workers/scripts/front/secrets-bulk",
        body: { secrets: { CLIENT_KEYS: { name: "CLIENT_KEYS", text: entry, type: "secret_text" } } },
      },
    ]);
    assert.equal(parseAsWrangler(readFileSync(join(cwd, "below/.dev.vars"))).CLIENT_KEYS, entry);
    assert.ok(!stderr.includes(key));
  });

  test("a list beyond one secret is spread, comes back to one, and leaves nothing behind", async () => {
    const entries = Array.from({ length: 80 }, (_, n) => `k${n} sha256:${String(n).padStart(3, "0")}d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab agents=main`);
    const input = `# eighty\n${entries.join("\n")}\n`;
    const spread = await push(["new", "--id", "last", "--agents", "builder", "--file", "-", "--apply=worker", "--env", "staging"], { input });
    assert.equal(spread.code, 0, spread.stderr);
    assert.match(spread.stderr, /no others: CLIENT_KEYS, CLIENT_KEYS_2 set\.\n$/);
    const [{ path }, { body }] = api.take();
    assert.equal(path, "/accounts/account/workers/scripts/front-staging/secrets");
    const { secrets } = body;
    const texts = [secrets.CLIENT_KEYS.text, secrets.CLIENT_KEYS_2.text];
    assert.ok(texts.every((text) => text.length <= 5000));
    assert.equal(`# eighty\n${texts.join("\n")}\n`, spread.stdout, "comments stay at home");
    assert.ok(spread.stdout.startsWith(input) && !KEY.test(spread.stdout));

    const pushed = await push(["push"]);
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.equal(pushed.stdout, "The Worker's keys are now this list, and no others: CLIENT_KEYS set, CLIENT_KEYS_2 deleted.\n");
    assert.equal(api.take().at(-1).body.secrets.CLIENT_KEYS_2, null);
    assert.deepEqual(Object.keys(api.secrets), ["CLIENT_KEYS"]);
  });

  test("the last key's end is the end of the secret", async () => {
    const { stdout, code } = await push(["revoke", "phone", "--apply=both"]);
    assert.equal(code, 0);
    assert.match(stdout, /^No key is left/m);
    assert.deepEqual(api.take().at(-1).body, { secrets: { CLIENT_KEYS: null } });
  });

  test("what Cloudflare refuses changes nothing and is told", async () => {
    const file = join(cwd, "below/.dev.vars");
    const before = readFileSync(file, "utf8");
    api.refuse = true;
    const refused = await push(["new", "--id", "bot", "--agents", "main", "--apply=both"]);
    api.refuse = false;
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /^clawfront: `wrangler secret bulk` failed \(exit status: 1\)\n/);
    assert.match(refused.stderr, /Authentication error/);
    assert.ok(!/sha256:|claw_|\u001b/.test(refused.stderr), refused.stderr);
    assert.equal(readFileSync(file, "utf8"), before);
    assert.deepEqual(readdirSync(join(cwd, "below")).sort(), [".dev.vars", ".env"]);
    api.take();
    const missing = await keys(["new", "--id", "bot", "--agents", "main", "--apply=both", "--name", "nowhere"], { cwd: join(cwd, "below"), env });
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /Worker "nowhere" not found/);
    assert.deepEqual(api.take().map(({ method }) => method), ["GET"], "no Worker was made");
  });

  test("nothing secret was an argument, in the environment, or in wrangler's logs", () => {
    const argv = readFileSync(join(cwd, "argv"), "utf8");
    assert.match(argv, /^secret list --name front\nsecret bulk --name front\n/);
    const logs = readdirSync(join(cwd, "logs")).map((name) => readFileSync(join(cwd, "logs", name), "utf8"));
    assert.ok(logs.length > 0);
    for (const text of [argv, readFileSync(join(cwd, "env"), "utf8"), ...logs]) assert.ok(!/sha256:[0-9a-f]{64}|claw_[a-z0-9-]+_[a-z2-7]{32}/.test(text), text);
  });
});

test("every shell can complete the command", async () => {
  for (const shell of ["bash", "zsh", "fish", "powershell", "elvish"]) {
    const child = spawn(CLI, ["completions", shell]);
    let script = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (script += text));
    assert.equal(await new Promise((resolve) => child.on("close", resolve)), 0);
    assert.match(script, /not-before/, shell);
  }
});
