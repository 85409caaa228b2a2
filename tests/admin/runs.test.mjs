// Tests what an administrator sees and stops of the hub's runs, and the command for it.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { admin, createKey, startAdminFront } from "../support/admin.mjs";
import { clawfront } from "../support/command.mjs";
import { beginnings, eventsOf, post, says, until } from "../support/front.mjs";
import { get, refused } from "../support/keys.mjs";
import { own } from "../support/keys-command.mjs";

const long = says("hi [[fake deltas=2000 delay=20]]", { stream: true });

for (const protocol of [4, 3])
  describe(`runs, protocol ${protocol}`, () => {
    let front, phone, cwd;
    before(async () => {
      front = await startAdminFront({ protocol });
      phone = await createKey(front, "tablet");
      cwd = own(`runs-${protocol}`);
      const { worker, ops } = front;
      const text = `CLAWFRONT_URL=${worker.url}\nCLAWFRONT_ADMIN_KEY='${ops.key}'\n`;
      writeFileSync(join(cwd, ".dev.vars"), text, { mode: 0o600 });
    });
    after(() => front.stop());

    const manage = (...call) => admin(front.worker.edge, front.ops, ...call);
    const runs = async () => (await manage("GET", "/runs")).body.data;
    const going = () =>
      until("it runs", async () => {
        const all = await runs();
        return all.some(({ state }) => state === "running") && all;
      });
    const command = (...args) => clawfront(args, { cwd });
    const aborted = async () =>
      (await front.sim.journal()).runs.filter(({ ended }) => ended === "aborted").length;

    test("a run is seen while it goes on, and stopped", async () => {
      assert.deepEqual(await runs(), []);
      const stream = await post(front.worker, phone, long);
      const body = stream.text();
      const [run, ...others] = await going();
      assert.deepEqual(others, []);
      const { id, session, created_at, ...rest } = run;
      assert.deepEqual(rest, {
        object: "run",
        key: "tablet",
        agent: "main",
        state: "running",
        clients: 1,
        can_be_stopped: protocol === 4,
      });
      assert.ok(Math.abs(Date.now() / 1000 - created_at) < 60);
      const begun = await until("the log has its line", () =>
        beginnings(front.worker).find((line) => line.run === id),
      );
      assert.equal(begun.session, session);
      const list = await command("runs", "list");
      assert.match(list.stdout, new RegExp(`^${id} +running +tablet +main +20\\S+Z +1$`, "m"));
      if (protocol === 3) {
        const { status, body: answer } = await manage("POST", `/runs/${id}/stop`);
        assert.equal(status, 400);
        assert.match(answer.error.message, /protocol 3/);
        const { code, stderr } = await command("runs", "stop", id);
        assert.equal(code, 2);
        assert.match(stderr, /protocol 3/);
        assert.equal((await runs()).length, 1);
        await manage("POST", "/keys/tablet", { disabled: true });
        await body;
        await manage("POST", "/keys/tablet", { disabled: false });
        return;
      }
      const stopped = await manage("POST", `/runs/${id}/stop`);
      assert.deepEqual(stopped, {
        status: 200,
        body: { object: "run.stopped", id, stopped: true },
      });
      const events = eventsOf(await body);
      assert.equal(events.at(-1).error.code, "run_aborted");
      await until("the gateway has stopped it", async () => (await aborted()) === 1);
      assert.deepEqual(await runs(), []);
      const again = await manage("POST", `/runs/${id}/stop`);
      assert.deepEqual([again.status, again.body.error.code], [404, "run_not_found"]);
      const [record] = (await manage("GET", "/audit")).body.data;
      const { time, ...fields } = record;
      assert.ok(time > 0);
      assert.deepEqual(fields, {
        object: "audit_log",
        actor: "ops",
        action: "run.stopped",
        key: "tablet",
        run: id,
      });
      const { usage_today } = await (await get(front.worker, phone, "/v1/key")).json();
      assert.deepEqual([usage_today.runs, usage_today.stopped], [1, 1]);
    });

    test("no client's key sees or stops a run", async () => {
      for (const key of [phone, front.phone])
        for (const [method, path] of [
          ["GET", "/runs"],
          ["POST", "/runs/x/stop"],
        ]) {
          const { status, body } = await admin(front.worker, key, method, path);
          assert.deepEqual([status, body.error.code], [403, "missing_scope"], path);
        }
      const wrong = {
        ...phone,
        key: phone.key.replace(/.$/, (last) => (last === "a" ? "b" : "a")),
      };
      const denied = await get(front.worker, wrong, "/admin/v1/runs");
      assert.equal((await refused(denied)).status, 401);
    });

    if (protocol === 4)
      test("the command stops a run whose client has left, and its record says who did", async () => {
        const finisher = await createKey(front, "finisher", { on_disconnect: "finish" });
        const controller = new AbortController();
        const { signal } = controller;
        const stream = await post(front.worker, finisher, long, { signal });
        await stream.body.getReader().read();
        controller.abort();
        const before = await aborted();
        const [{ id }] = await until("the client has left", async () => {
          const all = await runs();
          return all[0]?.clients === 0 && all;
        });
        const stopped = await command("runs", "stop", id);
        assert.deepEqual(
          [stopped.code, stopped.stdout],
          [0, `Stopped: ${id}. Its streams have ended with the error run_aborted.\n`],
        );
        await until("the gateway has stopped it", async () => (await aborted()) === before + 1);
        const gone = await command("runs", "stop", id);
        assert.equal(gone.code, 6);
        assert.match(gone.stderr, /has no run/);
        const { code } = await command("runs", "stop", "a/b");
        assert.equal(code, 2);
        const audit = await command("audit");
        assert.match(audit.stdout, new RegExp(`ops +run\\.stopped +finisher +${id}$`, "m"));
        const listed = await command("runs", "list", "--json");
        assert.deepEqual(JSON.parse(listed.stdout).data, []);
      });
  });
