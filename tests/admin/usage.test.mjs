// Tests the usage of all keys, as an administrator and OpenAI's SDKs read it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import OpenAI from "openai";
import { PYTHON, pythonEnvironment } from "../../scripts/python.mjs";
import { admin, createKey, startAdminFront } from "../support/admin.mjs";
import { clawfront } from "../support/command.mjs";
import { temporaryFolder } from "../support/folder.mjs";
import { post, says, until } from "../support/front.mjs";
import { get, refused } from "../support/keys.mjs";
import { own } from "../support/keys-command.mjs";

const DAY_S = 86_400;

/** Prints a page of usage. Its arguments are the base URL and the query, its input is the key. */
const PROGRAM = `
import json, sys
from openai import OpenAI
url, query = sys.argv[1], json.loads(sys.argv[2])
client = OpenAI(base_url=url, admin_api_key=sys.stdin.read(), max_retries=0)
page = client.admin.organization.usage.completions(**query)
print(page.model_dump_json(exclude_unset=True))
`;

describe("usage of all keys", () => {
  const storage = temporaryFolder("hub");
  let front, worker, tablet, laptop;
  const today = Math.floor(Date.now() / 1000 / DAY_S) * DAY_S;
  before(async () => {
    front = await startAdminFront({ storage });
    worker = front.worker;
    tablet = await createKey(front, "tablet", { agents: ["main", "beta"] });
    laptop = await createKey(front, "laptop");
  });
  after(() => front.stop());

  const asked = async (key, body) => (await (await post(worker, key, body)).json()).usage;
  const entries = async (query = "") =>
    (await admin(worker, front.ops, "GET", `/usage${query}`)).body.data;
  const sdk = (options) =>
    new OpenAI({
      baseURL: `${worker.url}/v1`,
      adminAPIKey: front.ops.key,
      maxRetries: 0,
      ...options,
    });

  test("each count is there once, by key and agent, and what was refused is nobody's", async () => {
    const of = (agent, deltas) => ({ ...says(`hi [[fake deltas=${deltas}]]`), model: agent });
    const main = [await asked(tablet, of("main", 2)), await asked(tablet, of("openclaw/main", 3))];
    const beta = await asked(tablet, of("beta", 4));
    const other = await asked(laptop, of("main", 5));
    assert.equal((await post(worker, tablet, { messages: "none" })).status, 400);
    // A key of every agent names one that does not exist.
    const unknown = await post(worker, front.boss, of("openclaw/nobody", 1));
    assert.equal((await refused(unknown)).code, "model_not_found");
    const sum = (usages, name) => usages.reduce((all, usage) => all + usage[name], 0);
    const seen = await until("all have ended", async () => {
      const seen = await entries();
      return seen.reduce((all, { runs }) => all + runs, 0) === 4 && seen;
    });
    const line = (key, agent, usages, requests = usages.length) => ({
      object: "usage",
      date: new Date(today * 1000).toISOString().slice(0, 10),
      key,
      agent,
      requests,
      runs: usages.length,
      answers: usages.length,
      stopped: 0,
      provider_failures: 0,
      other_failures: 0,
      input_tokens: sum(usages, "prompt_tokens"),
      cached_tokens: usages.reduce(
        (all, usage) => all + usage.prompt_tokens_details.cached_tokens,
        0,
      ),
      output_tokens: sum(usages, "completion_tokens"),
    });
    const named = ({ key, agent }) => `${key} ${agent}`;
    const sorted = seen.toSorted((a, b) => (named(a) < named(b) ? -1 : 1));
    assert.ok(sorted.every(({ run_ms, runs }) => run_ms > 0 === runs > 0));
    assert.deepEqual(
      sorted.map(({ run_ms, ...entry }) => entry),
      [
        line("boss", null, [], 1),
        line("laptop", "main", [other]),
        line("tablet", "beta", [beta]),
        line("tablet", "main", main),
        line("tablet", null, [], 1),
      ],
    );
    const of_beta = await entries("?models=openclaw/beta");
    assert.deepEqual(of_beta.map(named), ["tablet beta"]);
    assert.deepEqual(await entries(`?end_time=${today}`), []);
    // The key itself sees its own sum.
    const own = (await (await get(worker, tablet, "/v1/key")).json()).usage_today;
    assert.deepEqual([own.requests, own.runs], [4, 3]);
  });

  test("OpenAI's SDK reads it by key and model, page by page", async () => {
    const { usage } = sdk().admin.organization;
    const page = await usage.completions({
      start_time: today,
      bucket_width: "1d",
      group_by: ["api_key_id", "model"],
      api_key_ids: ["tablet", "laptop"],
    });
    const [bucket] = page.data;
    const expected = (await entries()).filter(({ runs }) => runs > 0);
    const line = ({ key, agent, input_tokens, output_tokens, runs }) =>
      `${key} ${agent} ${input_tokens} ${output_tokens} ${runs}`;
    const results = bucket.results.filter(({ num_model_requests }) => num_model_requests > 0);
    assert.deepEqual(
      results.map((result) =>
        line({
          ...result,
          key: result.api_key_id,
          agent: result.model,
          runs: result.num_model_requests,
        }),
      ),
      expected.map(line),
    );
    assert.deepEqual([page.has_more, page.next_page], [false, null]);
    const days = [];
    let next;
    do {
      const { data, next_page } = await usage.completions({
        start_time: today - 9 * DAY_S,
        limit: 4,
        ...(next && { page: next }),
      });
      days.push(...data.map(({ start_time }) => start_time));
      next = next_page;
    } while (next);
    assert.deepEqual(
      days,
      Array.from({ length: 10 }, (_, day) => today - (9 - day) * DAY_S),
    );
    await assert.rejects(usage.completions({ start_time: today, bucket_width: "1h" }), (error) => {
      assert.deepEqual([error.status, error.param], [400, "bucket_width"]);
      return true;
    });
  });

  test("OpenAI's SDK for Python reads the same", async () => {
    const { usage } = sdk().admin.organization;
    const query = { start_time: today, group_by: ["api_key_id"], api_key_ids: ["tablet"] };
    const page = await usage.completions(query);
    const args = ["-c", PROGRAM, `${worker.url}/v1`, JSON.stringify(query)];
    const work = promisify(execFile)(PYTHON, args, { env: pythonEnvironment() });
    work.child.stdin.end(front.ops.key);
    const { stdout } = await work;
    assert.deepEqual(JSON.parse(stdout), page);
  });

  test("the command prints it as a table, and as CSV", async () => {
    const cwd = own("usage");
    const text = `CLAWFRONT_URL=${worker.url}\nCLAWFRONT_ADMIN_KEY='${front.ops.key}'\n`;
    writeFileSync(join(cwd, ".dev.vars"), text, { mode: 0o600 });
    const command = (...args) => clawfront(["usage", ...args], { cwd });
    const of_tablet = (await entries()).filter(({ key }) => key === "tablet");
    const sum = (name) => of_tablet.reduce((all, entry) => all + entry[name], 0);
    const line = [
      "requests",
      "runs",
      "other_failures",
      "input_tokens",
      "cached_tokens",
      "output_tokens",
    ];
    const { stdout } = await command();
    assert.match(stdout, new RegExp(`^tablet +${line.map(sum).join(" +")}$`, "m"));
    const csv = (await command("--csv")).stdout.trim().split("\n");
    assert.equal(csv.length, 1 + (await entries()).length);
    assert.deepEqual(JSON.parse((await command("--json")).stdout).data, await entries());
    const yesterday = new Date((today - DAY_S) * 1000).toISOString().slice(0, 10);
    assert.match((await command("--until", yesterday, "--by", "day")).stdout, /^all +0 +0/m);
    for (const [option, value] of [
      ["--since", "yesterday"],
      ["--since", "2199-01-01"],
    ]) {
      const refused = await command(option, value);
      assert.deepEqual([refused.code, /Fix: /.test(refused.stderr)], [2, true]);
    }
  });

  test("a key that is revoked keeps its usage, also over a kill", async () => {
    const before = await entries();
    const runs = (all) => all.reduce((sum, entry) => sum + entry.runs, 0);
    // The runs' own writes keep them: no report asks for that.
    for (let count = 0; count < 3; count += 1)
      await asked(tablet, { ...says("hi [[fake deltas=1]]"), model: "main" });
    assert.equal((await admin(worker, front.ops, "DELETE", "/keys/laptop")).status, 200);
    process.kill(worker.pid, "SIGKILL");
    worker = await front.another();
    try {
      const after = await entries();
      assert.equal(runs(after), runs(before) + 3);
      const of_laptop = ({ key }) => key === "laptop";
      assert.deepEqual(after.filter(of_laptop), before.filter(of_laptop));
    } finally {
      await worker.stop();
      worker = front.worker;
    }
  });

  test("a key that may chat sees nobody's usage", async () => {
    worker = await front.another();
    try {
      for (const path of ["/admin/v1/usage", `/v1/organization/usage/completions?start_time=1`])
        assert.equal((await refused(await get(worker, tablet, path))).code, "missing_scope");
    } finally {
      await worker.stop();
    }
  });
});
