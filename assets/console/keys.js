// Lists the keys of the hub, and changes them.

import { box, button, copyable, el, inputOf, labelled, quiet, report, svg, table } from "./dom.js";
import { ask, openDialog } from "./form.js";
import { changedFields, formOf, initialFields } from "./key-form.js";
import { qrModules, qrPath } from "./qr.js";
import { count, dateOf, short, timeOf } from "./text.js";
import { empty, layOut } from "./view.js";

const COLUMNS = ["Key", "State", "Agents", "Limits", "Today", ""];

/** Seconds until the old text of a rotated key ends. */
const OVERLAPS = [
  [0, "At once"],
  [3600, "After an hour"],
  [86400, "After a day"],
  [604800, "After 7 days"],
  [2592000, "After 30 days"],
];

export function showKeys({ session, ...frame }) {
  const [filter, find] = inputOf("Find", { id: "filter", type: "search", className: "actions" });
  const note = quiet();
  const make = button("New key", create, { className: "main" });
  const { attempt, draw } = layOut(frame, load, note, find, make);
  let keys = [];

  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = keys.filter(({ id, label }) =>
      `${id} ${label ?? ""}`.toLowerCase().includes(wanted),
    );
    note.textContent = `${count(keys.length, "key")} of the hub. Those of CLIENT_KEYS are not here.`;
    const nothing = keys.length > 0 ? "No key has this name." : "The hub has no key yet.";
    draw(found.length > 0 ? table("Keys of the hub", COLUMNS, found.map(row)) : empty(nothing));
  };
  function load() {
    return attempt(async () => {
      ({ data: keys } = await session.call("GET", "/admin/v1/keys"));
      show();
    });
  }
  const post = (path, body) => session.call("POST", `/admin/v1/keys${path}`, body);

  /** Asks for a change. A new key is shown when it is in the list, which takes the focus. */
  const change = async (title, options) => {
    const made = await ask(title, options);
    if (made) await load();
    if (made?.key) showKey(made);
  };

  function create() {
    return change("New key", {
      verb: "Make the key",
      body: formOf(initialFields(), { isNew: true }),
      work: (form) => post("", changedFields(form)),
    });
  }

  const edit = (key) =>
    change(`Change ${key.id}`, {
      verb: "Save",
      body: formOf(key, { isNew: false }),
      work: async (form) => {
        const changes = changedFields(form);
        if (Object.keys(changes).length === 0) return report("Nothing was changed.");
        await post(`/${key.id}`, changes);
        report(`The key ${key.id} is changed.`);
        return true;
      },
    });

  const rotate = (key) => {
    const option = ([value, words]) => el("option", { value, selected: value === 86400 }, words);
    const choice = el("select", { id: "overlap" }, OVERLAPS.map(option));
    return change(`Rotate ${key.id}`, {
      verb: "Make a new key",
      body: [
        "Only the text of the key is new: fields, sessions and usage stay.",
        labelled("The present text ends", choice),
        quiet("A rotation ends no stream. Revoke a key that has leaked."),
      ],
      work: () => post(`/${key.id}/rotate`, { overlap_s: Number(choice.value) }),
    });
  };

  const revoke = (key) =>
    change(`Revoke ${key.id}?`, {
      verb: "Revoke",
      className: "danger",
      body: [
        "It is refused from the next request on, and its streams end. This cannot be undone.",
        key.id === session.id && quiet("It is the key that you are signed in with."),
      ],
      work: async () => {
        await session.call("DELETE", `/admin/v1/keys/${key.id}`);
        report(`The key ${key.id} is revoked.`);
        return true;
      },
    });

  const toggle = (key) =>
    attempt(async () => {
      await post(`/${key.id}`, { disabled: !key.disabled });
      report(`The key ${key.id} is ${key.disabled ? "enabled" : "disabled"}.`);
      await load();
    });

  const row = (key) => {
    const { id, label } = key;
    const act = (words, click, more) =>
      button(words, () => click(key), {
        ...{ label: `${words} ${id}`, "data-at": `${click.name} ${id}` },
        ...more,
      });
    return [
      [
        el("code", {}, id),
        label && el("p", { class: "quiet label", dir: "auto", title: label }, label),
      ],
      stateOf(key),
      key.scopes.includes("admin") ? quiet("administrates") : agentsOf(key),
      limitsOf(key),
      todayOf(key),
      box(
        "actions",
        act("Edit", edit),
        act("Rotate", rotate),
        act(key.disabled ? "Enable" : "Disable", toggle),
        act("Revoke", revoke, { className: "danger" }),
      ),
    ];
  };

  filter.addEventListener("input", show);
  load();
}

function stateOf({ disabled, not_before, expires, previous_key_valid_until: until }) {
  const now = Date.now();
  const isEarly = Date.parse(not_before) > now;
  const [className, name] = disabled
    ? ["off", "Disabled"]
    : Date.parse(expires) <= now
      ? ["bad", "Expired"]
      : isEarly
        ? ["warn", "Not yet valid"]
        : ["good", "Active"];
  const notes = [
    isEarly && `from ${dateOf(not_before)}`,
    expires && `until ${dateOf(expires)}`,
    until && until * 1000 > now && `the old text until ${timeOf(until)}`,
  ];
  return [el("span", { class: `state ${className}` }, name), lines(notes, quiet)];
}

const agentsOf = ({ agents, default_agent }) => [
  el("span", {}, agents.includes("*") ? "every agent" : agents.join(", ")),
  default_agent && agents.length > 1 && quiet(`default ${default_agent}`),
];

function limitsOf(key) {
  const limit = (of, words) => of?.limit && `${short(of.limit)} ${words}`;
  const limits = [
    limit(key.requests_per_minute, "a minute"),
    limit(key.concurrent_runs, "at once"),
    limit(key.runs_per_day, "runs a day"),
    limit(key.tokens_per_day, "tokens a day"),
    limit(key.tokens_per_month, "tokens a month"),
    key.networks.length > 0 && count(key.networks.length, "network"),
    key.origins.length > 0 && count(key.origins.length, "web page"),
  ];
  return limits.some(Boolean) ? lines(limits) : quiet("none");
}

function todayOf({ usage_today: used, concurrent_runs, ...key }) {
  const failed = used.provider_failures + used.other_failures;
  const at = key.last_used_at;
  const last = at ? `last ${timeOf(at)}` : "unused 92 days";
  return [
    lines([
      `${count(used.runs, "run")}, ${short(used.input_tokens + used.output_tokens)} tokens`,
      failed > 0 && `${failed} failed`,
      concurrent_runs.running > 0 && `${concurrent_runs.running} running`,
    ]),
    lines([last, key.last_used_network, key.last_used_client], quiet),
  ];
}

const div = (text) => box("", text);
const lines = (texts, line = div) => texts.filter(Boolean).map((text) => line(text));

/** Shows a new key. It leaves the page with the dialog. */
function showKey({ id, key, scopes }) {
  const base = `${location.origin}/v1`;
  const runs = !scopes.includes("admin");
  const config = JSON.stringify({ base_url: base, api_key: key, model: "openclaw" });
  return openDialog(`The key ${id}`, (close) => [
    el("p", {}, "This is the only time that it is shown: the hub keeps only a hash. Copy it now."),
    copyable("Key", key),
    ...(runs
      ? [
          copyable("Base URL", base),
          copyable("Model", "openclaw"),
          qrImage(config),
          quiet("For a phone: JSON with base_url, api_key and model."),
        ]
      : []),
    box("actions", button("Done", close, { className: "main" })),
  ]);
}

function qrImage(text) {
  const rows = qrModules(text);
  const size = rows.length + 8;
  const code = {
    class: "qr",
    role: "img",
    "aria-label": "QR code with the base URL, the key and the model",
    viewBox: `-4 -4 ${size} ${size}`,
  };
  return svg("svg", code, svg("path", { d: qrPath(rows) }));
}
