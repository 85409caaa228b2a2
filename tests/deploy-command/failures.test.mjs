// Tests the deployments of `clawfront deploy` that stop: each step that fails is named, and the next
// call goes on from there.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startCloudflare } from "../support/cloudflare.mjs";
import { assertUnseen, clawfront, project, TOKEN } from "../support/deploy-command.mjs";
import { startDeployed } from "../support/deployed.mjs";
import { variables } from "../support/dev-vars.mjs";
import { startSim } from "../support/sim.mjs";

describe("a deployment that stops", () => {
  let api, sim, deployed, place, phone;
  before(async () => {
    [api, sim] = await Promise.all([startCloudflare({ empty: true }), startSim({ token: TOKEN })]);
    deployed = await startDeployed(api);
    place = project("stops", api);
  });
  after(async () => {
    await deployed.stop();
    await Promise.all([api.stop(), sim.stop()]);
  });

  const deploy = (...args) =>
    clawfront(["deploy", "--worker", deployed.url, "--allow-private", ...args], place);

  test("without a way to Cloudflare it ends at the account, and the address is learnt from wrangler", async () => {
    const made = await clawfront(
      ["setup", "--gateway", sim.url, "--key", "phone", "--agents", "main"],
      { ...place, env: { ...place.env, GATEWAY_TOKEN: TOKEN } },
    );
    assert.equal(made.code, 0, made.stderr);
    phone = made.stdout.match(/claw_phone_[a-z2-7]{32}/)[0];
    const stranger = await clawfront(["deploy", "--allow-private"], {
      ...place,
      env: { ...place.env, CLOUDFLARE_API_TOKEN: "wrong" },
    });
    assert.equal(stranger.code, 1);
    assert.match(stranger.stderr, /deploy stopped at `account`/);
    const { code, stderr } = await clawfront(["deploy", "--allow-private"], {
      ...place,
      env: { ...place.env, CLAWFRONT_WAIT_S: "0" },
    });
    assert.equal(code, 9, "there is no such host here");
    assert.match(
      stderr,
      /deploy stopped at `live`: https:\/\/clawfront\.sub\.workers\.dev does not answer/,
    );
    assert.equal(variables(place.cwd).CLAWFRONT_URL, "https://clawfront.sub.workers.dev");
  });

  test("a step that fails is named, and the next call goes on from there", async () => {
    const toml = join(place.cwd, "wrangler.toml");
    const good = readFileSync(toml, "utf8");
    writeFileSync(toml, good.replace('command = "echo built > built"', 'command = "exit 3"'));
    const build = await deploy();
    assert.equal(build.code, 1);
    assert.match(build.stderr, /deploy stopped at `build`: `exit 3` failed \(exit status: 3\)/);
    writeFileSync(toml, `${good}# third\n`);
    api.refuse = true;
    const upload = await deploy();
    api.refuse = false;
    assert.equal(upload.code, 1);
    assert.match(upload.stderr, /deploy stopped at `upload`: `wrangler deploy` failed/);
    assert.ok(!/s3cret|sha256:|\u001b/.test(upload.stderr), upload.stderr);

    const changed = api.changed;
    api.changed = undefined;
    place.env.CLAWFRONT_WAIT_S = "1";
    const late = await deploy();
    delete place.env.CLAWFRONT_WAIT_S;
    api.changed = changed;
    assert.equal(late.code, 9, late.stderr);
    assert.match(
      late.stderr,
      /deploy stopped at `live`: .* does not answer with the new version yet/,
    );
    const good2 = await deploy();
    assert.deepEqual([good2.code, good2.steps[3]], [0, ["skipped", "upload"]], good2.stderr);
  });

  test("a gateway that is down is found after the deployment, and named", async () => {
    await sim.stop();
    const { code, stdout, steps } = await deploy();
    assert.equal(code, 1);
    assert.equal(steps.at(-1)[1], "live");
    assert.match(stdout, /^problem +readyz +the Worker cannot use its gateway/m);
    assert.match(stdout, /^problem +chat /m);
    assert.match(stdout, /something is wrong: fix the first problem above/);
  });

  test("nothing secret was an argument, in the environment, or in wrangler's logs", () => {
    const { DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET, CLAWFRONT_ADMIN_KEY } = variables(place.cwd);
    const own = [DEVICE_KEY, DEVICE_TOKEN, KEYS_SECRET, CLAWFRONT_ADMIN_KEY];
    assertUnseen([...own, TOKEN, phone], place);
  });
});
