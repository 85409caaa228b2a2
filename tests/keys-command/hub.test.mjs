// Tests `clawfront keys` and `clawfront audit` with the hub of a real Worker.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { run as runProgram } from "../../scripts/processes.mjs";
import { admin, createKey, startAdminFront } from "../support/admin.mjs";
import { clawfront } from "../support/command.mjs";
import { eventsOf, post, says, textOf } from "../support/front.mjs";
import { assertPlain, KEY, LABEL, own, runner } from "../support/keys-command.mjs";
import { listen } from "../support/stand-ins.mjs";

const short = says("hi [[fake deltas=1]]");

describe("the keys of the hub", () => {
  let front, run;
  before(async () => {
    front = await startAdminFront();
    run = runner(
      "hub",
      `CLAWFRONT_URL=${front.worker.url}\nCLAWFRONT_ADMIN_KEY='${front.ops.key}'\n`,
    );
  });
  after(() => front.stop());

  const good = async (args) => {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    return stdout;
  };
  const json = async (args) => {
    const stdout = await good([...args, "--json"]);
    assert.equal(stdout.trimEnd().split("\n").length, 1);
    return JSON.parse(stdout);
  };
  const status = async (key, body = short) => (await post(front.worker, { key }, body)).status;

  test("a key is made, shown once, and works at once", async () => {
    const text = await good([
      ...["keys", "new", "--id", "phone2", "--agents", "main,beta", "--default", "main"],
      ...["--label", LABEL, "--rpm", "30", "--reasoning", "on"],
    ]);
    const [key] = text.match(KEY);
    assert.equal(
      text,
      `Key, for the client, shown only here:\n  ${key}\n\n` +
        `Base URL  ${front.worker.url}/v1\nModel     openclaw\n`,
    );
    assert.equal(await status(key), 200);
    const shown = await json(["keys", "show", "phone2"]);
    assert.deepEqual(
      [shown.label, shown.agents, shown.requests_per_minute.limit, shown.reasoning, shown.key],
      [LABEL, ["main", "beta"], 30, true, undefined],
    );
    const page = await good(["keys", "show", "phone2"]);
    assert.match(page, /^requests per minute 30 \(29 remaining\)$/m);
    assert.match(page, /^last used {11}\S+Z by node$/m);
    const list = await good(["keys", "list"]);
    assert.match(list, /^phone2 {2}good +main,beta {2}never +\S+Z +Anna's old phone # 2$/m);
    assert.match(list, new RegExp(`^1 key in the hub at ${front.worker.url}\\.`, "m"));
    for (const seen of [page, list, JSON.stringify(await json(["keys", "list"]))])
      assert.ok(!seen.includes(key.split("_")[2]) && !seen.includes("sha256"));
  });

  test("the settings of a client are those of the documents, and work with its key", async () => {
    const made = await json([
      ...["keys", "new", "--id", "sdk", "--agents", "beta,main", "--for", "curl"],
    ]);
    assert.deepEqual(
      [made.base_url, made.model, made.object],
      [`${front.worker.url}/v1`, "openclaw/beta", "key"],
    );
    assert.deepEqual(made.environment, {
      OPENAI_BASE_URL: made.base_url,
      OPENAI_API_KEY: made.key,
    });
    const env = { ...process.env, ...made.environment };
    const streamed = await runProgram("bash", ["-euo", "pipefail", "-c", made.snippet], { env });
    assert.ok(textOf(eventsOf(streamed)).length > 0);
    const { runs } = await front.sim.journal();
    assert.equal(runs.at(-1).sessionKey.split(":")[1], "beta");

    const document = readFileSync(join(ROOT, "docs/clients.md"), "utf8");
    for (const client of ["openai-python", "openai-node", "ai-sdk", "langchain-js"]) {
      const args = ["keys", "new", "--id", client, "--agents", "main", "--default", "main"];
      const { snippet } = await json([...args, "--for", client]);
      assert.ok(document.includes(`\n${snippet}\`\`\``), client);
    }
  });

  test("the settings in a terminal begin with the key, and can be pasted", async () => {
    const text = await good([
      ...["keys", "new", "--id", "pasted", "--agents", "main,beta", "--default", "main"],
      ...["--for", "curl"],
    ]);
    const [key] = text.match(KEY);
    const { environment, snippet } = await json([
      ...["keys", "new", "--id", "pasted2", "--agents", "main", "--default", "main"],
      ...["--for", "curl"],
    ]);
    const script = `export OPENAI_BASE_URL=${environment.OPENAI_BASE_URL}
export OPENAI_API_KEY=${key}

${snippet}`;
    assert.ok(text.endsWith(`\n\n${script}`), text);
    const streamed = await runProgram("bash", ["-euo", "pipefail", "-c", script], {
      env: process.env,
    });
    assert.ok(textOf(eventsOf(streamed)).length > 0);
  });

  test("an app has its steps, and the header that its key lacks", async () => {
    const args = ["--agents", "main", "--for", "open-webui"];
    const text = await good(["keys", "new", "--id", "webui", ...args]);
    assert.match(text, /^1\. Start Open WebUI with /m);
    const fix = "clawfront keys set webui --conversations x-openwebui-chat-id";
    assert.ok(text.endsWith(`: ${fix}\n`), text);
    await good(fix.split(" ").slice(1));
    const header = ["--conversations", "x-openwebui-chat-id"];
    const named = await good(["keys", "new", "--id", "webui2", ...args, ...header]);
    assert.doesNotMatch(named, /keys set/);
    const { snippet } = await json([
      ...["keys", "new", "--id", "codex", "--agents", "beta,main", "--for", "codex"],
    ]);
    assert.ok(snippet.includes(`\nbase_url = "${front.worker.url}/v1"\n`), snippet);
    assert.ok(snippet.includes('\nmodel = "openclaw/beta"\n'), snippet);
  });

  test("an unknown client lists the known ones, and makes no key", async () => {
    const args = ["keys", "new", "--id", "unmade", "--agents", "main", "--for"];
    const unknown = await run([...args, "cobol"]);
    assert.deepEqual([unknown.code, unknown.stdout], [2, ""]);
    assert.match(unknown.stderr, /open-webui, .*codex, .*curl, openai-python, openai-node/);
    const admin = ["keys", "new", "--id", "unmade", "--scopes", "admin", "--for", "curl"];
    const refused = await run(admin);
    assert.deepEqual([refused.code, refused.stdout], [2, ""]);
    assert.match(refused.stderr, /--for is for a key that chats/);
    assert.equal((await run(["keys", "show", "unmade"])).code, 6);
  });

  test("fields are set and unset, and the rest stays", async () => {
    const { key } = await createKey(front, "fields", { label: "x", concurrent_runs: 2 });
    const changed = await json([
      ...["keys", "set", "fields", "--agents", "main,beta", "--rpm", "1", "--keep-alive", "20"],
      ...["--unset", "label"],
    ]);
    assert.deepEqual(
      [changed.agents, changed.requests_per_minute.limit, changed.keep_alive_s, changed.label],
      [["main", "beta"], 1, 20, null],
    );
    assert.equal(changed.concurrent_runs.limit, 2);
    const beta = { ...short, model: "openclaw/beta" };
    assert.deepEqual([await status(key, beta), await status(key, beta)], [200, 429]);
    for (const [args, words] of [
      [[], /no field is given/],
      [["--unset", "colour"], /--unset takes one of label, agents, .*not-before/],
      [["--rpm", "3", "--unset", "rpm"], /contradict each other/],
      [["--rpm", "0"], /rpm is a number from 1 to 60000/],
      [["--label", 'a" sessions=any'], /character that no field may have/],
      [["--unset", "agents"], /agents= is missing/],
    ]) {
      const { code, stdout, stderr } = await run(["keys", "set", "fields", ...args]);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.match(stderr, words);
    }
    assert.equal((await json(["keys", "show", "fields"])).requests_per_minute.limit, 1);
  });

  test("a key is disabled, enabled and revoked at the next request", async () => {
    const { key } = await createKey(front, "lost");
    assert.equal((await json(["keys", "disable", "lost"])).disabled, true);
    assert.equal(await status(key), 401);
    assert.match(await good(["keys", "list"]), /^lost +disabled +main/m);
    assert.match(await good(["keys", "enable", "lost"]), /^state +good$/m);
    assert.equal(await status(key), 200);
    assert.match(await good(["keys", "revoke", "lost"]), /^Revoked: lost\. The hub at http/);
    assert.equal(await status(key), 401);
    await createKey(front, "lost-too");
    assert.deepEqual(await json(["keys", "revoke", "lost-too"]), {
      object: "key.deleted",
      id: "lost-too",
      deleted: true,
    });
    for (const command of ["show", "revoke", "disable", "enable", "rotate"]) {
      const { code, stdout, stderr } = await run(["keys", command, "lost"]);
      assert.deepEqual([code, stdout], [6, ""], command);
      assert.match(stderr, /^clawfront: the hub at http:.* has no key lost\. Fix: .*--static$/m);
    }
  });

  test("with the key itself, a revocation ends when the key was admitted and is refused", async () => {
    const { key } = await createKey(front, "held");
    const { key: other } = await createKey(front, "held2");
    const revoke = (id, input, ...more) =>
      run(["keys", "revoke", id, "--key-stdin", ...more], {}, `${input}\n`);
    const mixed = await revoke("held", other);
    assert.deepEqual([mixed.code, mixed.stdout], [2, ""]);
    assert.match(mixed.stderr, /is not one of held; nothing was changed/);
    assert.equal(await status(key), 200);
    const { code, stdout } = await revoke("held", key);
    assert.deepEqual(
      [code, stdout],
      [
        0,
        `Revoked: held. The Worker at ${front.worker.url} has admitted the key before, and refuses it now.\n`,
      ],
    );
    assert.equal(await status(key), 401);
    const line = await revoke("held2", other, "--json");
    assert.deepEqual(JSON.parse(line.stdout), {
      object: "key.deleted",
      id: "held2",
      deleted: true,
      refused: true,
    });
    await createKey(front, "guessed");
    const wrong = `claw_guessed_${"a".repeat(32)}`;
    const unknown = await revoke("guessed", wrong);
    assert.deepEqual([unknown.code, unknown.stdout], [9, ""]);
    assert.match(unknown.stderr, /has revoked guessed, but .* it was refused before, too/);
    assert.ok(!unknown.stderr.includes(wrong));
    assert.equal((await run(["keys", "show", "guessed"])).code, 6);
    await createKey(front, "bare");
    assert.match(await good(["keys", "revoke", "bare"]), /^The key itself was not tried/m);
  });

  test("both keys of a rotation work until the overlap ends", async () => {
    const { key } = await createKey(front, "turn");
    const text = await good(["keys", "rotate", "turn"]);
    const [second] = text.match(KEY);
    assert.match(text, /^The old key of turn works until 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\.$/m);
    assert.deepEqual([await status(key), await status(second)], [200, 200]);
    assert.match(await good(["keys", "list"]), /^turn +good, rotating +main/m);
    const ended = await json(["keys", "rotate", "turn", "--overlap", "0"]);
    assert.deepEqual(
      [await status(key), await status(second), await status(ended.key)],
      [401, 401, 200],
    );
    const { code, stderr } = await run(["keys", "rotate", "turn", "--overlap", "9999999"]);
    assert.equal(code, 2);
    assert.match(stderr, /0 to 2592000/);
  });

  test("the record has the changes, the latest one first", async () => {
    await good(["keys", "new", "--id", "noted", "--agents", "main"]);
    await good(["keys", "revoke", "noted"]);
    const { data } = await json(["audit"]);
    assert.deepEqual(
      data.slice(0, 2).map(({ actor, action, key }) => [actor, action, key]),
      ["key.deleted", "key.created"].map((action) => ["ops", action, "noted"]),
    );
    const lines = (await good(["audit"])).split("\n");
    assert.match(lines[0], /^TIME +ACTOR +ACTION +KEY +RUN$/);
    assert.match(lines[1], /^20\d\d-\S+Z +ops +key\.deleted +noted$/);
  });

  test("an administrator of the hub is a key like any other", async () => {
    const text = await good(["keys", "new", "--id", "deputy", "--scopes", "admin"]);
    assert.match(text, /^deputy is an administrator\./m);
    const bare = runner("deputy");
    const env = { CLAWFRONT_ADMIN_KEY: text.match(KEY)[0] };
    const revoked = await bare(["keys", "revoke", "deputy", "--worker", front.worker.url], env);
    assert.deepEqual([revoked.code, revoked.stdout], [9, ""], "it cannot look any more");
    assert.equal((await run(["keys", "show", "deputy"])).code, 6);
  });

  test("an id that is taken is refused, whether in the hub or in the list", async () => {
    await createKey(front, "taken");
    for (const id of ["taken", "guest"]) {
      const { code, stdout, stderr } = await run(["keys", "new", "--id", id, "--agents", "main"]);
      assert.deepEqual([code, stdout], [5, ""]);
      assert.match(stderr, /There is a key with this id already/);
    }
  });

  test("a wrong key, or a client's, is refused and never printed", async () => {
    const wrong = front.ops.key.replace(/.{8}$/, "a".repeat(8));
    const bare = runner("wrong", `CLAWFRONT_URL=${front.worker.url}/v1\n`);
    for (const [key, words] of [
      [wrong, /refuses CLAWFRONT_ADMIN_KEY \(HTTP 401, invalid_api_key\)/],
      [front.phone.key, /CLAWFRONT_ADMIN_KEY is not an administrator's key/],
    ])
      for (const args of [["keys", "list"], ["keys", "revoke", "phone"], ["audit"]]) {
        const { code, stdout, stderr } = await bare(args, { CLAWFRONT_ADMIN_KEY: key });
        assert.deepEqual([code, stdout], [7, ""], args.join(" "));
        assert.match(stderr, words);
        assert.ok(!stderr.includes(key.split("_")[2]));
      }
    const broken = await bare(["keys", "list"], { CLAWFRONT_ADMIN_KEY: "a\r\nx: y" });
    assert.equal(broken.code, 2);
    const none = await bare(["keys", "list"]);
    assert.deepEqual([none.code, none.stdout], [2, ""]);
    assert.match(none.stderr, /CLAWFRONT_ADMIN_KEY is neither .* nor in \.dev\.vars.*--static/);
  });

  test("a list of many keys is read to its end", async () => {
    const label = "é".repeat(30);
    for (let batch = 0; batch < 30; batch += 1)
      await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          createKey(front, `many-${batch}-${n}`, { label, conversations: ["x-a", "x-b"] }),
        ),
      );
    const { data } = await json(["keys", "list"]);
    assert.ok(data.length >= 600);
    assert.ok(Buffer.byteLength(JSON.stringify(data)) > 262_144, "more than an answer of doctor");
  });
});

test("without KEYS_SECRET the fix is named", async () => {
  const front = await startAdminFront({ vars: { KEYS_SECRET: "" } });
  try {
    const run = runner("no-secret");
    const args = ["keys", "new", "--id", "x", "--agents", "main", "--worker", front.worker.url];
    const { code, stdout, stderr } = await run(args, { CLAWFRONT_ADMIN_KEY: front.ops.key });
    assert.deepEqual([code, stdout], [4, ""]);
    assert.match(stderr, /set the secret KEYS_SECRET first.*Fix: `clawfront setup`/);
  } finally {
    await front.stop();
  }
});

test("without an address, nothing is sent, and every way out is named", async () => {
  const run = runner("nowhere");
  const env = { CLAWFRONT_ADMIN_KEY: "claw_ops_x" };
  for (const args of [["keys", "list"], ["keys", "revoke", "phone"], ["audit"]]) {
    const { code, stdout, stderr } = await run(args, env);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /--worker .*CLAWFRONT_URL.*CLAWFRONT_ADMIN_KEY.*--static/);
  }
});

test("the key travels in the clear to this machine alone", async () => {
  const run = runner("clear");
  for (const url of ["http://clawfront.example.com", "http://10.0.0.1", "http://127.0.0.1.x.com"]) {
    const env = { CLAWFRONT_ADMIN_KEY: "claw_ops_x" };
    const { code, stdout, stderr } = await run(["keys", "list", "--worker", url], env);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /in the clear\. Fix: use https/);
  }
});

test("the hub of a running `npm start` needs no settings", async () => {
  const front = await startAdminFront();
  try {
    const cwd = own("local");
    const folder = join(cwd, ".cache/dev-8787-1-1");
    mkdirSync(folder, { recursive: true });
    mkdirSync(join(cwd, "below"));
    const local = { url: front.worker.url, key: front.ops.key };
    writeFileSync(join(folder, "hub.json"), JSON.stringify(local));
    const env = { ...process.env, CLAWFRONT_ADMIN_KEY: "claw_of_another" };
    const run = (args) => clawfront(args, { cwd: join(cwd, "below"), env });
    const made = await run(["keys", "new", "--id", "near", "--agents", "main"]);
    assert.equal(made.code, 0, made.stderr);
    assert.equal((await admin(front.worker, front.ops, "GET", "/keys/near")).status, 200);
    mkdirSync(join(cwd, ".cache/dev-8788-1-1"));
    writeFileSync(
      join(cwd, ".cache/dev-8788-1-1/hub.json"),
      JSON.stringify({ ...local, url: "http://127.0.0.1:8788" }),
    );
    const several = await run(["keys", "list"]);
    assert.equal(several.code, 2);
    assert.match(several.stderr, /several `npm start` run: .*--worker/);
  } finally {
    await front.stop();
  }
});

describe("a server that is not to be trusted", () => {
  /** Runs a command against a server that answers so. */
  async function against(name, answer, args) {
    const seen = [];
    const server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      answer(response, request);
    });
    const { port, stop } = await listen(server);
    try {
      const env = { CLAWFRONT_ADMIN_KEY: "claw_ops_x" };
      const url = `http://127.0.0.1:${port}`;
      return { ...(await runner(name)([...args, "--worker", url], env)), seen };
    } finally {
      await stop();
    }
  }
  const hostile = "\u001b[2J\u009b2J\r\u202eevil\u200b\u2028";

  test("its labels and messages are printed safely", async () => {
    const key = { object: "key", id: `x${hostile}`, label: hostile, agents: [`main${hostile}`] };
    const list = { object: "list", data: [key, { actor: hostile, action: hostile, key: hostile }] };
    for (const args of [["keys", "list"], ["keys", "show", "x"], ["audit"]])
      for (const more of [[], ["--json"]]) {
        const body = args[1] === "show" ? key : list;
        const { code, stdout } = await against(
          `labels-${args.join("-")}${more}`,
          (response) => response.end(JSON.stringify(body)),
          [...args, ...more],
        );
        assert.equal(code, 0);
        assertPlain(stdout);
        if (more.length > 0) assert.deepEqual(JSON.parse(stdout), body);
      }
    const error = { error: { code: `odd${hostile}`, message: hostile.repeat(9999) } };
    const { code, stderr } = await against(
      "message",
      (response) => response.writeHead(500).end(JSON.stringify(error)),
      ["keys", "list"],
    );
    assert.equal(code, 1);
    assertPlain(stderr);
    assert.ok(stderr.length < 2000);
  });

  test("another server is not taken for the hub", async () => {
    for (const [name, status, body] of [
      ["page", 200, "<html>"],
      ["odd", 200, '{"ok":true}'],
      ["redirect", 302, ""],
      ["bare", 404, "not found"],
    ]) {
      const { code, stdout, seen } = await against(
        `foreign-${name}`,
        (response) => response.writeHead(status, { location: "https://evil.example" }).end(body),
        ["keys", "list"],
      );
      assert.deepEqual([code, stdout, seen], [1, "", ["GET /admin/v1/keys"]], name);
    }
  });

  test("a revocation without its confirmation is not a success", async () => {
    const deleted = JSON.stringify({ object: "key.deleted", id: "x", deleted: true });
    const still = await against("still", (response) => response.end(deleted), [
      ...["keys", "revoke", "x"],
    ]);
    assert.deepEqual([still.code, still.stdout], [9, ""]);
    assert.deepEqual(still.seen, ["DELETE /admin/v1/keys/x", "GET /admin/v1/keys/x"]);
    for (const [name, answer] of [
      ["cut", (response) => response.writeHead(200, { "content-length": 99 }).end('{"object":')],
      ["gone", (_, request) => request.socket.destroy()],
    ]) {
      const { code, stdout, stderr } = await against(name, answer, ["keys", "revoke", "x"]);
      assert.deepEqual([code, stdout], [9, ""], name);
      assert.match(stderr, /may have changed x, .*keys show x/);
    }
  });
});
