// The gateway's configuration and environment: everything real, nothing that reaches beyond
// loopback.

import { delimiter, dirname, join } from "node:path";

/**
 * `openclaw.json` for one version. `agents` are ids; the first is the one a caller without a choice
 * should use. `auth` is a mode of `gateway.auth`, `token` its secret. `settings` are further ones,
 * as they stand in that file.
 */
export function gatewayConfig({
  version,
  dir,
  port,
  auth = "token",
  token,
  providerUrl,
  agents,
  trustedProxies,
  settings = {},
}) {
  const config = {
    gateway: {
      mode: "local",
      port,
      bind: "loopback",
      auth: { mode: auth, ...AUTH[auth](token) },
      http: { endpoints: { chatCompletions: { enabled: true }, responses: { enabled: true } } },
      controlUi: { enabled: false },
    },
    discovery: { mdns: { mode: "off" } },
    update: { checkOnStart: false },
    agents: {
      defaults: {
        workspace: workspace(dir, agents[0]),
        model: { primary: DEFAULT_MODEL },
        skipBootstrap: true,
        heartbeat: { every: "0m" }, // no model calls besides those of a test
      },
    },
    models: {
      mode: "merge",
      providers: {
        fake: {
          baseUrl: `${providerUrl}/v1`,
          apiKey: "unused",
          api: "openai-completions",
          models: [model("fake-1", false), model("fake-2", true)],
        },
      },
    },
    logging: { file: join(dir, "openclaw.log") },
  };
  if (trustedProxies) config.gateway.trustedProxies = trustedProxies;

  if (speaksProtocol3(version)) {
    config.agents.list = agents.map((id, i) => ({ id, default: i === 0, ...agent(dir, id) }));
  } else {
    config.agents.entries = Object.fromEntries(agents.map((id) => [id, agent(dir, id)]));
    if (agents.length > 1) config.agents.ownership = "explicit";
    config.models.catalogRefresh = { enabled: false };
    config.telemetry = { enabled: false };
  }
  return merged(config, settings);
}

/** Merges both settings files; the second one wins where both have a value. */
export function merged(base, more) {
  const isObject = (value) => value && typeof value === "object" && !Array.isArray(value);
  const names = [...new Set([...Object.keys(base), ...Object.keys(more)])];
  return Object.fromEntries(
    names.map((name) => [
      name,
      isObject(base[name]) && isObject(more[name])
        ? merged(base[name], more[name])
        : (more[name] ?? base[name]),
    ]),
  );
}

/**
 * The gateway's whole environment. Not inherited: a developer's real API keys, proxies or
 * OPENCLAW_* settings would otherwise find their way into a gateway that must be offline and the
 * same everywhere.
 */
export function gatewayEnv({ dir, node, configPath, stateDir }) {
  return {
    PATH: [dirname(node), process.env.PATH].join(delimiter),
    LANG: "C.UTF-8",
    TZ: "UTC",
    HOME: join(dir, "home"),
    TMPDIR: join(dir, "tmp"),
    OPENCLAW_STATE_DIR: stateDir,
    OPENCLAW_CONFIG_PATH: configPath,
    OPENCLAW_NO_RESPAWN: "1",
    OPENCLAW_DISABLE_BONJOUR: "1",
    OPENCLAW_SKIP_CHANNELS: "1",
    OPENCLAW_NO_AUTO_UPDATE: "1",
    OPENCLAW_SKIP_GMAIL_WATCHER: "1",
    OPENCLAW_SKIP_BROWSER_CONTROL_SERVER: "1",
    OPENCLAW_SKIP_CANVAS_HOST: "1",
    DO_NOT_TRACK: "1",
    NO_COLOR: "1",
  };
}

/** The members of `gateway.auth` besides its mode. */
const AUTH = {
  token: (token) => ({ token }),
  password: (password) => ({ password }),
  // The password is for the gateway's own host only, where pairing and the warm-up use it: requests
  // through the proxy are identified by their headers.
  "trusted-proxy": (password) => ({
    password,
    trustedProxy: {
      userHeader: "x-forwarded-user",
      requiredHeaders: ["x-forwarded-proto"],
      allowLoopback: true,
    },
  }),
};

const DEFAULT_MODEL = "fake/fake-1";

// beta reasons, so that a test can have both kinds of model by choosing an agent.
const NAMED_AGENTS = { main: { name: "Main" }, beta: { name: "Beta", model: "fake/fake-2" } };

function agent(dir, id) {
  const { name = id, model: chosen } = NAMED_AGENTS[id] ?? {};
  return { name, workspace: workspace(dir, id), ...(chosen && { model: { primary: chosen } }) };
}

function workspace(dir, id) {
  return join(dir, "workspaces", id);
}

function model(id, reasoning) {
  return {
    id,
    name: id,
    reasoning,
    // Unknown providers do not get the level of thinking.
    ...(reasoning && { compat: { supportsReasoningEffort: true } }),
    input: ["text", "image"],
    cost: { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 },
    contextWindow: 200_000,
    maxTokens: 8_192,
  };
}

function speaksProtocol3(version) {
  return version === "2026.3.13";
}
