// Lists programs that people use, each at a pinned version in a folder of its own below
// `.cache/apps`, and the command of one user's call with each: without a terminal, at the program's
// default settings. Each gets a home folder and a work folder of its own, so a user's settings are
// neither read nor changed. Its telemetry is turned off where its documentation says how.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cargoBuild, nativeEnvironment } from "../../../scripts/cargo.mjs";
import { CLIENTS } from "../../../scripts/clients.mjs";
import { CACHE } from "../../../scripts/paths.mjs";
import { ensurePackages, pythonEnvironment, pythonOf } from "../../../scripts/python.mjs";
import { ensureRust, installPackages } from "../../../scripts/setup.mjs";
import { step } from "../../../scripts/steps.mjs";

const HERE = join(CLIENTS, "apps");
const APPS_CACHE = join(CACHE, "apps");
const ASYNC_OPENAI = join(CLIENTS, "async-openai");

/**
 * - `install` is quick when it is installed.
 * - `call({ baseURL, key, prompt, home })` returns the command of one call: `{ command, args, env
 *   }`.
 * - `api` is the API that it uses.
 */
export const APPS = [
  {
    name: "codex",
    version: npmVersion("codex", "@openai/codex"),
    api: "responses",
    install: () => installNpm("codex"),
    call({ baseURL, key, prompt, home }) {
      const settings = [
        'model = "openclaw"',
        'model_provider = "clawfront"',
        "check_for_update_on_startup = false",
        "[analytics]",
        "enabled = false",
        "[model_providers.clawfront]",
        'name = "Clawfront"',
        `base_url = "${baseURL}"`,
        'env_key = "OPENAI_API_KEY"',
        'wire_api = "responses"',
      ];
      writeFileSync(join(home, "config.toml"), `${settings.join("\n")}\n`);
      return npmProgram(
        "codex",
        "@openai/codex/bin/codex.js",
        ["exec", "--skip-git-repo-check", prompt],
        { CODEX_HOME: home, OPENAI_API_KEY: key },
      );
    },
  },
  {
    name: "aider",
    version: readFileSync(join(HERE, "aider/requirements.in"), "utf8").match(/==(.+)/)[1],
    api: "chat",
    // The packages that it pins have no wheels for a newer Python.
    install: () =>
      ensurePackages({
        name: "aider (600 MB, two minutes, once)",
        folder: join(APPS_CACHE, "aider"),
        requirements: join(HERE, "aider/requirements.txt"),
        maxMinor: 12,
      }),
    call({ baseURL, key, prompt, home }) {
      // It would write them at the root of the repository around it.
      const histories = [
        "--chat-history-file",
        join(home, "chat.md"),
        "--input-history-file",
        join(home, "input"),
      ];
      const quiet = [
        "--no-git",
        "--yes-always",
        "--no-check-update",
        "--analytics-disable",
        "--no-show-release-notes",
        "--no-show-model-warnings",
        "--no-pretty",
      ];
      return {
        command: pythonOf(join(APPS_CACHE, "aider")),
        args: [
          "-m",
          "aider",
          "--model",
          "openai/openclaw",
          ...quiet,
          ...histories,
          "--message",
          prompt,
        ],
        // litellm, which is beneath, has a list of prices that it would download.
        env: {
          ...pythonEnvironment(),
          OPENAI_API_BASE: baseURL,
          OPENAI_API_KEY: key,
          LITELLM_LOCAL_MODEL_COST_MAP: "True",
        },
      };
    },
  },
  {
    name: "qwen-code",
    version: npmVersion("qwen-code", "@qwen-code/qwen-code"),
    api: "chat",
    // Its library for the clipboard names packages of platforms for which there is none.
    install: () => installNpm("qwen-code", { lacksOptional: true }),
    call({ baseURL, key, prompt, home }) {
      mkdirSync(join(home, ".qwen"), { recursive: true });
      const settings = {
        security: { auth: { selectedType: "openai" } },
        privacy: { usageStatisticsEnabled: false },
        telemetry: { enabled: false },
        general: { enableAutoUpdate: false },
        // After each answer it asks the model what to remember: a call of its own, not the user's.
        memory: { enableManagedAutoMemory: false },
      };
      writeFileSync(join(home, ".qwen/settings.json"), JSON.stringify(settings));
      const env = { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: key, OPENAI_MODEL: "openclaw" };
      return npmProgram("qwen-code", "@qwen-code/qwen-code/cli-entry.js", [prompt], env);
    },
  },
  ...["stream", "whole"].map((form) => ({
    name: `async-openai, ${form}`,
    version: readFileSync(join(ASYNC_OPENAI, "Cargo.toml"), "utf8").match(
      /async-openai = \{ version = "=(.+?)"/,
    )[1],
    api: "chat",
    install: buildAsyncOpenai,
    call: ({ baseURL, key, prompt }) => ({
      command: asyncOpenai,
      args: [form, prompt],
      env: { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: key },
    }),
  })),
];

function npmVersion(folder, name) {
  return JSON.parse(readFileSync(join(HERE, folder, "package.json"), "utf8")).dependencies[name];
}

/** Installs the packages of a lock file here into a folder below `.cache`. */
async function installNpm(name, options) {
  const folder = join(APPS_CACHE, name);
  mkdirSync(folder, { recursive: true });
  for (const file of ["package.json", "package-lock.json"])
    cpSync(join(HERE, name, file), join(folder, file));
  await installPackages(name, folder, options);
}

const npmProgram = (folder, script, args, env) => ({
  command: "node",
  args: [join(APPS_CACHE, folder, "node_modules", script), ...args],
  env,
});

/** The program that uses async-openai, once it is built. */
let asyncOpenai;

async function buildAsyncOpenai() {
  if (asyncOpenai) return;
  await ensureRust();
  const env = { ...nativeEnvironment(), CARGO_TARGET_DIR: join(APPS_CACHE, "async-openai") };
  const built = await step(
    "async-openai (a minute or two, once)",
    (onLine) => cargoBuild(["--locked"], { cwd: ASYNC_OPENAI, env, onLine }),
    { quiet: true },
  );
  asyncOpenai = built["clawfront-async-openai"];
}
