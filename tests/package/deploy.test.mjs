// The files of `deploy/`: their commands work with folders of this test, and
// wrangler would deploy the template.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { commonVersion, configuration } from "../../scripts/pack.mjs";
import { ROOT } from "../../scripts/paths.mjs";
import { run } from "../../scripts/processes.mjs";
import { temporaryFolder } from "../support/folder.mjs";
import { newDevice, newKey, post, says } from "../support/front.mjs";
import { install, killPrograms, npmInstall, startServe } from "../support/package.mjs";
import { startSim } from "../support/sim.mjs";

const folder = temporaryFolder("deploy");
const read = (path) => readFileSync(join(ROOT, path), "utf8");
after(killPrograms);

let installed, sim, phone;
before(async () => {
  [installed, sim] = await Promise.all([install(folder), startSim()]);
  phone = newKey("phone", "main");
});
after(() => sim?.stop());

/** Writes the settings into a new folder, which stands for one of a file, and returns it. */
function machine(name) {
  const to = join(folder, name);
  mkdirSync(to);
  const settings = {
    GATEWAY_URL: sim.url,
    GATEWAY_TOKEN: sim.token,
    DEVICE_KEY: newDevice().device_key,
    CLIENT_KEYS: phone.entry,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key}='${value}'\n`);
  writeFileSync(join(to, "settings.vars"), lines.join(""));
  return to;
}

/** Replaces paths of the file by folders of the test, and the port by any free one. */
const here = (args, paths) =>
  args.map((arg) => {
    const [path, to] = Object.entries(paths).find(([path]) => arg.startsWith(path)) ?? [];
    return arg === "8787" ? "0" : path ? to + arg.slice(path.length) : arg;
  });

async function answersAndEnds(command, env) {
  const server = await startServe(installed, [], { command, env });
  const response = await post(server, phone, says("hi [[fake deltas=2]]"));
  const { choices } = await response.json();
  assert.equal(choices[0].message.content, "w0 w1");
  assert.equal(await server.stop(), 0);
}

test("the unit's command serves, and ends within the unit's time", async () => {
  const unit = Object.fromEntries(
    read("deploy/clawfront.service")
      .split("\n")
      .filter((line) => /^\w+=/.test(line))
      .map((line) => line.split(/=(.*)/s)),
  );
  const args = unit.ExecStart.split(" ");
  const to = machine("systemd");
  const paths = {
    "/opt/clawfront": installed.home,
    "/etc/clawfront": to,
    [`/var/lib/${unit.StateDirectory}`]: join(to, "state"),
  };
  await answersAndEnds(here(args, paths));
  assert.ok(Number(unit.TimeoutStopSec) > Number(args[args.indexOf("--drain") + 1]));
  assert.equal(unit.WorkingDirectory, "/opt/clawfront");
});

test("the command of the compose file serves, with the image's entry point", async () => {
  const { services, volumes } = parse(read("deploy/compose.yaml"));
  const { command, stop_grace_period, network_mode } = services.clawfront;
  const [, entry] = read("deploy/Dockerfile").match(/^ENTRYPOINT (.+)$/m);
  assert.deepEqual(JSON.parse(entry), ["clawfront"]);
  const to = machine("compose");
  // Caddy has no certificate in this test: the command itself listens at every address.
  await answersAndEnds([installed.bin, ...here(command, { "/data": to })]);
  assert.ok(
    Number.parseInt(stop_grace_period, 10) > Number(command[command.indexOf("--drain") + 1]),
  );
  assert.equal(network_mode, "service:openclaw");
  assert.deepEqual(
    Object.keys(services).filter((name) => services[name].ports),
    ["caddy"],
  );
  const used = Object.values(services).flatMap((service) => service.volumes);
  for (const volume of used)
    assert.ok(volume.startsWith("./") || Object.hasOwn(volumes, volume.split(":")[0]), volume);
});

test("wrangler would deploy the template, with its Durable Object and the package's Worker", async () => {
  const template = join(folder, "template");
  cpSync(join(ROOT, "deploy/template"), template, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(template, "package.json"), "utf8"));
  const { devDependencies } = JSON.parse(read("package.json"));
  assert.equal(manifest.dependencies.wrangler, devDependencies.wrangler);
  assert.deepEqual(Object.keys(manifest.cloudflare.bindings), ["CLIENT_KEYS"]);
  assert.match(readFileSync(join(template, ".dev.vars.example"), "utf8"), /^CLIENT_KEYS=$/m);
  assert.equal(
    readFileSync(join(template, "wrangler.toml"), "utf8"),
    configuration("index.js", "node_modules/clawfront/assets"),
  );
  await npmInstall(template, installed.env, installed.packed.tarballs, ["wrangler"]);
  const uploaded = await dryRun(template, []);
  assert.match(uploaded.output, /env\.HUB \(Hub\)/);
  assert.match(uploaded.output, readsAssets);
  const worker = join(installed.home, "node_modules/clawfront/worker/index_bg.wasm");
  const wasm = readdirSync(uploaded.outdir).filter((name) => name.endsWith(".wasm"));
  assert.deepEqual(
    wasm.map((name) => readFileSync(join(uploaded.outdir, name))),
    [readFileSync(worker)],
  );
});

test("an environment of the configuration is a Worker of its own, with the hub", async () => {
  const staging = join(folder, "staging");
  mkdirSync(staging);
  const own = join(installed.home, "node_modules/clawfront");
  const worker = join(own, "worker/index.js");
  const [, added] = read("docs/deploy.md").match(/```toml\n(\[env\.staging\][\s\S]*?)```/);
  writeFileSync(
    join(staging, "wrangler.toml"),
    `${configuration(worker, join(own, "assets"))}\n${added}`,
  );
  const { output } = await dryRun(staging, ["--env", "staging"]);
  assert.match(output, /env\.HUB \(Hub\)/);
  assert.match(output, readsAssets);
  assert.doesNotMatch(output, /not inherited|WARNING/i);
});

/** Matches the line of wrangler about the files of the console. */
const readsAssets = /Read \d\d files from the assets directory/;

/** Runs `wrangler deploy --dry-run` in a folder: `{ output, outdir }`. */
async function dryRun(cwd, args) {
  const outdir = join(cwd, "out");
  const env = { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false", NO_COLOR: "1" };
  const command = ["deploy", "--dry-run", "--outdir", outdir, ...args];
  return { output: await run("wrangler", command, { cwd, env }), outdir };
}

test("all files name the same version", () => {
  assert.match(commonVersion(), /^\d+\.\d+\.\d+$/);
  assert.match(read("CHANGELOG.md"), new RegExp(`^## ${commonVersion()}$`, "m"));
});
