// Tests `clawfront deploy` from an empty account to an answer, and the calls after the first one.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startCloudflare } from "../support/cloudflare.mjs";
import { assertUnseen, clawfront, project, TOKEN } from "../support/deploy-command.mjs";
import { startDeployed } from "../support/deployed.mjs";
import { variables } from "../support/dev-vars.mjs";
import { startSim } from "../support/sim.mjs";

describe("from an empty account", () => {
  let api, sim, deployed, place, phone;
  before(async () => {
    [api, sim] = await Promise.all([startCloudflare({ empty: true }), startSim({ token: TOKEN })]);
    deployed = await startDeployed(api);
    place = project("empty", api);
  });
  after(async () => {
    await deployed.stop();
    await Promise.all([api.stop(), sim.stop()]);
  });

  const deploy = (...args) =>
    clawfront(["deploy", "--worker", deployed.url, "--allow-private", ...args], place);

  test("settings that are missing stop it before anything is asked", async () => {
    const { code, stderr, steps } = await deploy();
    assert.equal(code, 4, stderr);
    assert.match(
      stderr,
      /deploy stopped at `settings`: .*GATEWAY_URL: is not set.*clawfront setup.*\nFix it and run this again/,
    );
    assert.deepEqual([steps, api.take()], [[], []]);
  });

  test("a gateway that Cloudflare does not reach stops it", async () => {
    const made = await clawfront(
      ["setup", "--gateway", sim.url, "--key", "phone", "--agents", "main"],
      { ...place, env: { ...place.env, GATEWAY_TOKEN: TOKEN } },
    );
    assert.equal(made.code, 0, made.stderr);
    phone = made.stdout.match(/claw_phone_[a-z2-7]{32}/)[0];
    const { code, stderr } = await clawfront(["deploy"], place);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /this machine itself: Cloudflare's network does not reach it.*--allow-private/,
    );
    assert.deepEqual(api.take(), []);
  });

  test("one command makes the Worker, gives it its secrets, and asks an agent through it", async () => {
    const { code, stdout, stderr, steps } = await deploy();
    assert.equal(code, 0, stderr + stdout);
    assert.deepEqual(
      steps,
      ["settings", "account", "build", "upload", "secrets", "live"].map((name) => ["done", name]),
    );
    assert.match(stderr, /no Worker clawfront yet/);
    for (const name of ["healthz", "readyz", "chat"])
      assert.match(stdout, new RegExp(`^ok +${name} `, "m"));
    assert.match(
      stdout,
      new RegExp(`^Deployed\\. Clients take the base URL ${deployed.url}/v1`, "m"),
    );
    const {
      GATEWAY_URL,
      DEVICE_KEY,
      DEVICE_TOKEN,
      KEYS_SECRET,
      CLIENT_KEYS,
      CLAWFRONT_ADMIN_KEY,
      CLAWFRONT_URL,
      CLAWFRONT_PUSHED,
      CLAWFRONT_DEPLOYED,
    } = variables(place.cwd);
    assert.ok(api.files.includes("/console/index.html"), "the console is uploaded");
    assert.ok(api.contents.size >= 10);
    const { CLIENT_KEYS: pushed, ...secrets } = api.secrets;
    assert.deepEqual(secrets, { GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET });
    assert.ok(
      pushed.startsWith(`${CLIENT_KEYS}\nclawfront-probe-`),
      "the list, and a key to ask with that expires by itself",
    );
    assert.deepEqual([CLAWFRONT_URL, CLAWFRONT_PUSHED], [deployed.url, "phone ops CLIENT_KEYS"]);
    assert.ok(CLAWFRONT_DEPLOYED.includes(`version:${api.version}`));
    const answer = await fetch(`${deployed.url}/v1/key`, {
      headers: { authorization: `Bearer ${phone}` },
    });
    assert.equal(answer.status, 200, "the operator's own key works");
    const made = await clawfront(
      ["keys", "new", "--id", "made", "--agents", "main", "--json"],
      place,
    );
    assert.equal(made.code, 0, made.stderr);
    const { key } = JSON.parse(made.stdout);
    const headers = { authorization: `Bearer ${key}` };
    assert.equal((await fetch(`${deployed.url}/v1/key`, { headers })).status, 200);
    const uploaded = readFileSync(join(place.cwd, ".dev.vars"), "utf8");
    assert.ok(uploaded.includes(CLAWFRONT_ADMIN_KEY));
    assert.ok(!JSON.stringify(api.take()).includes(CLAWFRONT_ADMIN_KEY), "it is never pushed");
  });

  test("a second call skips the finished steps, and reports it", async () => {
    api.take();
    const { code, stdout, stderr, steps } = await deploy("--json");
    assert.equal(code, 0, stderr);
    assert.deepEqual(steps, [
      ["done", "settings"],
      ["done", "account"],
      ["done", "build"],
      ["skipped", "upload"],
      ["done", "secrets"],
      ["done", "live"],
    ]);
    assert.match(
      stderr,
      /^done +secrets +set CLIENT_KEYS; unchanged: GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET$/m,
    );
    assert.deepEqual(
      api
        .take()
        .filter(({ method }) => method !== "GET")
        .map(({ body }) => Object.keys(body.secrets)),
      [["CLIENT_KEYS"]],
    );
    const { url, version, steps: told, worst } = JSON.parse(stdout);
    assert.deepEqual(
      [url, version, worst, told.find(({ name }) => name === "upload").state],
      [deployed.url, api.version, "ok", "skipped"],
    );
  });

  test("an address that is not one stops it before anything is asked", async () => {
    api.take();
    const { code, stderr, steps } = await clawfront(
      ["deploy", "--worker", "host.example", "--allow-private"],
      place,
    );
    assert.deepEqual([code, steps, api.take()], [2, [], []], stderr);
    assert.match(stderr, /deploy stopped at `settings`: .*--worker is not a URL/);
  });

  test("an address that is given replaces the kept one, also where nothing is uploaded", async () => {
    const path = join(place.cwd, ".dev.vars");
    const other = "http://127.0.0.1:9";
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(/^CLAWFRONT_URL=.*$/m, `CLAWFRONT_URL=${other}`));
    const { code, stderr, steps } = await deploy();
    assert.deepEqual([code, steps[3]], [0, ["skipped", "upload"]], stderr);
    assert.equal(variables(place.cwd).CLAWFRONT_URL, deployed.url);
  });

  test("a changed setting is pushed alone, and code that is not the served one is uploaded", async () => {
    writeFileSync(
      join(place.cwd, ".dev.vars"),
      `${readFileSync(join(place.cwd, ".dev.vars"), "utf8")}MODEL_ALIASES=fast=main\n`,
    );
    const changed = await deploy();
    assert.equal(changed.code, 0, changed.stderr);
    assert.match(
      changed.stderr,
      /^done +secrets +set CLIENT_KEYS, MODEL_ALIASES; unchanged: GATEWAY_URL, /m,
    );
    const toml = join(place.cwd, "wrangler.toml");
    writeFileSync(toml, `${readFileSync(toml, "utf8")}\n# another\n`);
    const again = await deploy();
    assert.deepEqual([again.code, again.steps[3]], [0, ["done", "upload"]], again.stderr);
  });

  test("a changed file of the console is uploaded", async () => {
    const file = join(place.cwd, "assets/console/index.html");
    writeFileSync(file, `${readFileSync(file, "utf8")}<!-- another -->\n`);
    const { code, stderr, steps } = await deploy();
    assert.deepEqual([code, steps[3]], [0, ["done", "upload"]], stderr);
    const again = await deploy();
    assert.deepEqual([again.code, again.steps[3]], [0, ["skipped", "upload"]], again.stderr);
  });

  test("after somebody else's deployment everything is uploaded and pushed again", async () => {
    api.version = "00000000-0000-4000-8000-000000000000";
    const { code, stderr, steps } = await deploy();
    assert.deepEqual([code, steps[3]], [0, ["done", "upload"]], stderr);
    assert.match(
      stderr,
      /^done +secrets +set CLIENT_KEYS, GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET, MODEL_ALIASES$/m,
    );
  });

  test("nothing secret was an argument, in the environment, or in wrangler's logs", () => {
    const { DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET, CLAWFRONT_ADMIN_KEY } = variables(place.cwd);
    const own = [DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET, CLAWFRONT_ADMIN_KEY];
    assertUnseen([...own, TOKEN, phone], place);
  });
});
