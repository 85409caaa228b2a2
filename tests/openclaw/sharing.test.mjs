// Tests two keys of one agent on a real gateway: the data of the other key that a prompt makes the
// agent read, before and after docs/keys.md's settings.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { merged } from "../../openclaw/config.mjs";
import { ROOT } from "../../scripts/paths.mjs";
import { clawfront } from "../support/command.mjs";
import { writeVariables } from "../support/dev-vars.mjs";
import { newKey, post, says, until } from "../support/front.mjs";
import { protocol, startOpenClawFront, version } from "../support/openclaw.mjs";

/** The settings that docs/keys.md gives for an agent that strangers share. */
const recipe = () =>
  JSON.parse(
    readFileSync(join(ROOT, "docs/keys.md"), "utf8").match(
      /```json shared-agent\n([\s\S]*?)```/,
    )[1],
  );

describe(`two keys of one agent, OpenClaw ${version}`, {
  skip: protocol === 3 && "2026.3 does not list an agent's tools",
}, () => {
  const [alice, bob] = [newKey("alice", "main"), newKey("bob", "main")];
  const told = [];
  let front;
  before(async () => {
    front = await startOpenClawFront({
      entries: [alice.entry, bob.entry],
      onCall: (messages) => told.push(JSON.stringify(messages)),
    });
  });
  after(() => front?.stop());

  /** Returns the messages that the model received after bob's prompt made the agent call a tool. */
  async function spied(tool, args) {
    const before = told.length;
    const content = `look [[fake deltas=1 tool=${tool} args=${JSON.stringify(args)}]]`;
    const response = await post(front.worker, bob, says(content));
    assert.equal(response.status, 200, await response.clone().text());
    await response.text();
    return told.slice(before).join("\n");
  }
  const history = () =>
    spied("tool_call", {
      id: "sessions_history",
      args: { sessionKey: "agent:main:edge:alice:user:=a" },
    });
  const command = () => spied("exec", { command: "echo hi-$((6*7))" });

  /** Returns the report of `clawfront doctor` about the agent, and the check itself. */
  async function exposure() {
    const file = join(dirname(front.gateway.configPath), "doctor.vars");
    writeVariables(file, {
      GATEWAY_URL: front.tunnel.url,
      DEVICE_KEY: front.device.device_key,
      DEVICE_TOKEN: front.device.device_token,
      CLIENT_KEYS: `${alice.entry};${bob.entry}`,
    });
    // Not synchronously: the tunnel is served by this process.
    const args = ["doctor", "--json", "--file", file, "--config", join(ROOT, "wrangler.toml")];
    const { stdout, stderr } = await clawfront(args);
    assert.ok(stdout, stderr);
    const report = JSON.parse(stdout);
    return {
      ...report.exposure.find(({ agent }) => agent === "main"),
      state: report.checks.find(({ name }) => name === "exposure").state,
    };
  }

  test("with the gateway's own settings bob reads alice's session and runs commands, and doctor says so", async () => {
    await (
      await post(front.worker, alice, says("My bank PIN is 4711 [[fake deltas=1]]", { user: "a" }))
    ).text();
    assert.match(await history(), /My bank PIN is 4711/);
    assert.match(await command(), /hi-42/);
    const found = await exposure();
    assert.deepEqual([found.keys, found.state, found.unseen], [["alice", "bob"], "warning", null]);
    assert.ok(
      found.sessions.includes("sessions_history") &&
        found.commands.includes("exec") &&
        found.files.includes("read"),
    );
    assert.deepEqual(found.settings, [
      'tools.sessions.visibility: "self"',
      'agents.entries.main.tools.deny: ["group:runtime", "group:fs"]',
    ]);
  });

  test("with the settings of docs/keys.md he does neither, and doctor sees it", async () => {
    const { configPath } = front.gateway;
    const config = readFileSync(configPath, "utf8");
    const settings = JSON.parse(JSON.stringify(recipe()).replaceAll('"shared"', '"main"'));
    writeFileSync(configPath, JSON.stringify(merged(JSON.parse(config), settings), null, 2));
    const closed = await until(
      "the gateway has read its settings",
      async () => {
        const found = await exposure();
        return found.sessions?.length === 0 && found.commands.length === 0 && found;
      },
      30_000,
    );
    assert.deepEqual([closed.files, closed.settings, closed.state], [[], [], "ok"]);
    assert.doesNotMatch(await history(), /4711/);
    assert.doesNotMatch(await command(), /hi-42/);
    const answer = await post(front.worker, bob, says("hello [[fake deltas=2]]"));
    assert.equal(
      (await answer.json()).choices[0].message.content,
      "w0 w1",
      "and the agent answers",
    );
  });
});
