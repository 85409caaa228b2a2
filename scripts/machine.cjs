// Refuses a machine that this project does not run on, with one line that says why. Node loads this
// before a script: see package.json. An old Node must be able to read it, so it is written in the
// JavaScript of 2009.

"use strict";

/** The oldest Node that the scripts have been run with. README and package.json name it, too. */
var MIN_NODE = [20, 12];
/**
 * The oldest C library that the programs from npm run with. Source: `objdump -T`: Node 26.10.0
 * wants 2.28, workerd 1.20261117.1 wants 2.27.
 */
var MIN_GLIBC = [2, 28];

/** Returns the reason why a machine is not supported, or undefined. */
function problemOf(machine) {
  if (machine.platform === "win32")
    return "Windows itself is not supported. Fix: use WSL2, with this folder in its own file system.";
  if (machine.platform !== "linux" && machine.platform !== "darwin")
    return machine.platform + " is not supported. Fix: use Linux or macOS.";
  if (machine.arch !== "x64" && machine.arch !== "arm64")
    return "The processor " + machine.arch + " is not supported. Fix: use x86-64 or arm64.";
  if (isOlder(machine.node, MIN_NODE))
    return (
      "Node " + machine.node + " is too old. Fix: install Node " + MIN_NODE.join(".") + " or newer."
    );
  if (machine.platform !== "linux") return undefined;
  var glibc = machine.glibc();
  if (glibc === undefined)
    return "A Linux without glibc, such as Alpine, is not supported: workerd does not run on it. Fix: use Debian, Ubuntu or Fedora.";
  if (isOlder(glibc, MIN_GLIBC))
    return (
      "glibc " +
      glibc +
      " is too old for the Node that wrangler wants. Fix: use a system with glibc " +
      MIN_GLIBC.join(".") +
      " or newer, such as Debian 12."
    );
  return undefined;
}

function isOlder(version, min) {
  var parts = version.split(".");
  var major = Number(parts[0]);
  return major < min[0] || (major === min[0] && Number(parts[1]) < min[1]);
}

/** The C library that this Node runs with: undefined where it is not glibc. */
function glibc() {
  // Looking up the machine's network names would take seconds, and is not needed here.
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime;
}

module.exports = { MIN_NODE: MIN_NODE, MIN_GLIBC: MIN_GLIBC, problemOf: problemOf };

var problem = problemOf({
  platform: process.platform,
  arch: process.arch,
  node: process.versions.node,
  glibc: glibc,
});
if (problem !== undefined) {
  console.error("Clawfront does not run here: " + problem);
  process.exit(1);
}
