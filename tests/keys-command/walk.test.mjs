// Runs the commands of docs/operate.md, in their order, as they are written there.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../../scripts/paths.mjs";
import { startAdminFront } from "../support/admin.mjs";
import { post, says, until } from "../support/front.mjs";
import { KEY, runner } from "../support/keys-command.mjs";

const document = readFileSync(join(ROOT, "docs/operate.md"), "utf8");

/** Returns the commands of a part of the document, as lists of arguments. */
function commandsOf(heading) {
  const [, part] = document.split(`\n## ${heading}\n`);
  const [, block] = part.split("```sh\n");
  const lines = block.split("```")[0].trim().split("\n");
  return lines.map((line) => {
    const [program, ...args] = line.match(/"[^"]*"|\S+/g).map((word) => word.replaceAll('"', ""));
    assert.equal(program, "clawfront", line);
    return args;
  });
}

describe("an operator's days", () => {
  let front, run;
  const keys = {};
  before(async () => {
    front = await startAdminFront();
    const { worker, ops } = front;
    run = runner("walk", `CLAWFRONT_URL=${worker.url}\nCLAWFRONT_ADMIN_KEY='${ops.key}'\n`);
  });
  after(() => front.stop());

  const walk = async (heading) => {
    const printed = [];
    for (const args of commandsOf(heading)) {
      const { code, stdout, stderr } = await run(args);
      assert.equal(code, 0, `${args.join(" ")}\n${stderr}`);
      printed.push(stdout);
      if (args[0] === "keys" && args[1] === "new") keys[args[3]] = { key: stdout.match(KEY)[0] };
    }
    return printed;
  };
  const ask = (id, content, fields) => post(front.worker, keys[id], says(content, fields));

  test("the first day", async () => {
    const [status, , snippet, list] = await walk("The first day");
    assert.match(status, /ready/);
    assert.match(snippet, /from openai import OpenAI/);
    assert.match(list, /^anna .*\n/m);
    for (const id of ["anna", "bob"])
      assert.equal((await ask(id, "hi [[fake deltas=2]]")).status, 200);
  });

  test("a lost phone", async () => {
    const stream = await ask("anna", "hi [[fake deltas=2000 delay=20]]", { stream: true });
    const body = stream.text();
    await until("it runs", async () => (await front.sim.journal()).runs.length === 3);
    const [shown, , runs, usage, audit] = await walk("A lost phone");
    assert.match(shown, /^last used +20\S+ by node$/m);
    assert.match(await body, /"code":"api_key_expired"/);
    assert.equal((await ask("anna", "hi")).status, 401);
    assert.equal(runs.trim().split("\n").length, 1, "only the heads");
    assert.match(usage, /^20\S+ +anna +2 /m);
    assert.match(audit, /ops +key\.deleted +anna/);
    await until("it is stopped", async () =>
      (await front.sim.journal()).runs.some(({ ended }) => ended === "aborted"),
    );
  });

  test("a colleague leaves", async () => {
    const [, usage] = await walk("A colleague leaves");
    assert.match(usage, /^bob +main +1 +1 /m);
    assert.equal((await ask("bob", "hi")).status, 401);
  });

  test("a bill that is too high", async () => {
    const [, , , csv] = await walk("A bill that is too high");
    assert.match(csv, /^20\d\d-\d\d-\d\d,bob,main,1,1,1,/m);
    assert.equal((await ask("ci", "hi [[fake deltas=2]]")).status, 200);
    const { stdout } = await run(["keys", "show", "ci", "--json"]);
    assert.deepEqual(
      [JSON.parse(stdout).tokens_per_day.limit, JSON.parse(stdout).runs_per_day.limit],
      [50_000, 20],
    );
  });
});
