// Shares one real OpenClaw gateway among the test files that neither configure nor stop it, and
// whose runs end with their tests. `npm test` runs all of them in one process, one after the other,
// because a start takes as long as the tests of a file. A file that runs by itself has the gateway
// for itself.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { startOpenClaw, startTunnel, withWorker } from "./openclaw.mjs";

/** The gateway, or the start of it, which fails for every file alike. */
let starting;
/** Takes the messages that the model receives, and the call, for the file that runs now. */
let onCall = () => {};

const gateway = () => (starting ??= startOpenClaw({ onCall: (...args) => onCall(...args) }));

// Of the process, not of a file: after the last test of all.
after(async () => (await starting?.catch(() => {}))?.stop());

/**
 * Puts a tunnel in front of the shared gateway.
 * @returns `{ gateway, provider, tunnel, token, dir, workspaces, stop }`. The folder `dir` and the
 *   tunnel are the caller's, and `stop` ends them and the answers that the model still gives.
 *   `provider` has the calls of files that ran before, too. `workspaces` has the agents' folders.
 */
export async function sharedTunnel(options = {}) {
  const { gateway: shared, provider, token, dir: home } = await gateway();
  const dir = mkdtempSync(join(tmpdir(), "clawfront-openclaw-"));
  const tunnel = await startTunnel(shared.port);
  onCall = options.onCall ?? (() => {});
  return {
    gateway: shared,
    provider,
    tunnel,
    token,
    dir,
    workspaces: join(home, "workspaces"),
    stop: async () => {
      await tunnel.close();
      provider.finish();
      onCall = () => {};
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/**
 * Puts a Worker with a paired device in front of the shared gateway. `entries`, `vars` and `onCall`
 * are those of `startOpenClawFront`, `storage` is the one of `withWorker`.
 * @returns `{ worker, device }` and the fields of `sharedTunnel`
 */
export async function sharedFront({ entries, vars, storage, onCall }) {
  return withWorker(await sharedTunnel({ onCall }), { entries, vars, storage });
}
