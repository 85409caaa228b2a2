// `clawfront deploy` from an empty account to an answer, with the real wrangler, a stand-in of
// Cloudflare's API, and the uploaded Worker in workerd.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BUILD, CLI, ROOT } from "../scripts/paths.mjs";
import { startCloudflare, wranglerFor } from "./support/cloudflare.mjs";
import { startDeployed } from "./support/deployed.mjs";
import { startSim } from "./support/sim.mjs";

const TOKEN = "s3cret-token";

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "clawfront-deploy-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Runs the command in a folder; `{ code, stdout, stderr, steps }`, the steps as `["done",
 * "upload"]`.
 */
function clawfront(args, { cwd, env }) {
  return new Promise((resolve, reject) => {
    const child = spawn(CLI, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const seen = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"])
      child[name].setEncoding("utf8").on("data", (text) => (seen[name] += text));
    child.on("error", reject).on("close", (code) =>
      resolve({
        code,
        ...seen,
        steps: [...seen.stderr.matchAll(/^(done|skipped) +(\S+)/gm)].map(([, ...step]) => step),
      }),
    );
  });
}

/**
 * Makes a project: the built Worker with a configuration whose build does nothing, and a wrangler
 * that sends its requests to `api`.
 */
function project(name, api) {
  const cwd = mkdtempSync(join(folder, `${name}-`));
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  writeFileSync(
    join(cwd, "wrangler.toml"),
    toml
      .replace(/^main = .*$/m, `main = ${JSON.stringify(join(BUILD, "index.js"))}`)
      .replace(/^command = .*$/m, 'command = "echo built > built"')
      .replace(/^watch_dir.*$/m, ""),
  );
  return { cwd, env: wranglerFor(cwd, api) };
}

const variables = ({ cwd }) =>
  Object.fromEntries(
    [
      ...readFileSync(join(cwd, ".dev.vars"), "utf8").matchAll(
        /^([A-Z_0-9]+)=(['"`]?)([\s\S]*?)\2$/gm,
      ),
    ].map(([, name, , value]) => [name, value]),
  );

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
      CLIENT_KEYS,
      CLAWFRONT_URL,
      CLAWFRONT_PUSHED,
      CLAWFRONT_DEPLOYED,
    } = variables(place);
    const { CLIENT_KEYS: pushed, ...secrets } = api.secrets;
    assert.deepEqual(secrets, { GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN });
    assert.ok(
      pushed.startsWith(`${CLIENT_KEYS}\nclawfront-probe-`),
      "the list, and a key to ask with that expires by itself",
    );
    assert.deepEqual([CLAWFRONT_URL, CLAWFRONT_PUSHED], [deployed.url, "phone CLIENT_KEYS"]);
    assert.ok(CLAWFRONT_DEPLOYED.includes(`version:${api.version}`));
    const answer = await fetch(`${deployed.url}/v1/key`, {
      headers: { authorization: `Bearer ${phone}` },
    });
    assert.equal(answer.status, 200, "the operator's own key works");
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
      /^done +secrets +set CLIENT_KEYS; unchanged: GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN$/m,
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
    assert.equal(variables(place).CLAWFRONT_URL, deployed.url);
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

  test("after somebody else's deployment everything is uploaded and pushed again", async () => {
    api.version = "00000000-0000-4000-8000-000000000000";
    const { code, stderr, steps } = await deploy();
    assert.deepEqual([code, steps[3]], [0, ["done", "upload"]], stderr);
    assert.match(
      stderr,
      /^done +secrets +set CLIENT_KEYS, GATEWAY_URL, DEVICE_KEY, DEVICE_TOKEN, MODEL_ALIASES$/m,
    );
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
    const { DEVICE_KEY, DEVICE_TOKEN } = variables(place);
    const logs = readdirSync(join(place.cwd, "logs")).map((name) =>
      readFileSync(join(place.cwd, "logs", name), "utf8"),
    );
    for (const text of [
      readFileSync(join(place.cwd, "argv"), "utf8"),
      readFileSync(join(place.cwd, "env"), "utf8"),
      ...logs,
    ]) {
      for (const secret of [DEVICE_KEY, DEVICE_TOKEN, TOKEN, phone])
        assert.ok(!text.includes(secret));
      assert.ok(!/sha256:[0-9a-f]{64}/.test(text));
    }
  });
});

test("without a way to Cloudflare it ends at the account, and the address is learnt from wrangler", async () => {
  const [api, sim] = await Promise.all([
    startCloudflare({ empty: true }),
    startSim({ token: TOKEN }),
  ]);
  const place = project("learnt", api);
  try {
    const made = await clawfront(
      ["setup", "--gateway", sim.url, "--key", "phone", "--agents", "main"],
      { ...place, env: { ...place.env, GATEWAY_TOKEN: TOKEN } },
    );
    assert.equal(made.code, 0, made.stderr);
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
    assert.equal(variables(place).CLAWFRONT_URL, "https://clawfront.sub.workers.dev");
  } finally {
    await Promise.all([api.stop(), sim.stop()]);
  }
});
