// The release: its workflow names what the scripts have, and the scripts' parts of it run here.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { commonVersion, DEPENDENCIES, notesOf, PLATFORMS } from "../../scripts/pack.mjs";
import { ROOT } from "../../scripts/paths.mjs";
import { sbom } from "../../scripts/sbom.mjs";

const { jobs } = parse(readFileSync(join(ROOT, ".github/workflows/release.yml"), "utf8"));
const commands = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));

test("programs are built for each platform, and each is given to the packages", () => {
  const platforms = Object.keys(PLATFORMS);
  const built = jobs.programs.strategy.matrix.include.map(({ platform }) => platform);
  assert.deepEqual(built, platforms);
  const [make] = commands.filter((command) => command.includes("--native"));
  const given = [...make.matchAll(/--native (\S+)=programs\/programs-(\S+)/g)];
  assert.deepEqual(
    given.map(([, platform]) => platform),
    platforms,
  );
  for (const [, platform, folder] of given) assert.equal(folder, platform);
  assert.deepEqual(jobs.publish.needs, ["test", "programs"]);
});

test("the options that the workflow uses print a version and notes, and nothing else", () => {
  const script = [...commands.join("\n").matchAll(/package -- (--version-only|--notes)/g)];
  assert.deepEqual(
    script.map(([, option]) => option),
    ["--version-only", "--notes"],
  );
  const out = (option) =>
    execFileSync(process.execPath, [join(ROOT, "scripts/package.mjs"), option], {
      encoding: "utf8",
    });
  assert.equal(out("--version-only"), `${commonVersion()}\n`);
  assert.equal(out("--notes"), `${notesOf(commonVersion())}\n`);
  assert.ok(notesOf(commonVersion()).length > 100);
  assert.throws(() => notesOf("9.9.9"), /CHANGELOG.md has no heading for 9\.9\.9/);
});

test("the list of components has the crates and npm packages with their checksums", async () => {
  const { components, metadata } = await sbom(commonVersion(), DEPENDENCIES);
  assert.equal(metadata.component.version, commonVersion());
  const names = components.map(({ name }) => name);
  for (const name of ["serde_json", "rustls", "ed25519-dalek", "axum", "workerd", "dotenv"])
    assert.ok(names.includes(name), name);
  for (const name of ["proptest", "clawfront-core"]) assert.ok(!names.includes(name), name);
  for (const { name, hashes } of components)
    assert.match(hashes[0].content ?? "", /^[0-9a-f]{64}(?:[0-9a-f]{64})?$/, name);
});
