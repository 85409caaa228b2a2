// Lists the keys of the hub, and changes them.

import {
  button,
  copyable,
  el,
  errorPlace,
  openDialog,
  report,
  showError,
  svg,
  table,
} from "./dom.js";
import { changedFields, formOf, initialFields, refuseField } from "./key-form.js";
import { qrPath, qrSize } from "./qr.js";
import { count, dateOf, short, timeOf } from "./text.js";

const COLUMNS = ["Key", "State", "Agents", "Limits", "Today", ""];

const OVERLAPS = [
  [0, "At once"],
  [3600, "After an hour"],
  [86400, "After a day"],
  [604800, "After 7 days"],
  [2592000, "After 30 days"],
];

export function showKeys({ root, heading, session }) {
  const place = errorPlace();
  const list = el("div", {});
  const note = el("p", { class: "quiet" });
  const filter = el("input", { id: "filter", type: "search", autocomplete: "off" });
  let keys = [];

  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = keys.filter(({ id, label }) =>
      `${id} ${label ?? ""}`.toLowerCase().includes(wanted),
    );
    note.textContent = `${count(keys.length, "key")} of the hub. Those of CLIENT_KEYS are not here.`;
    list.replaceChildren(
      found.length > 0
        ? table("Keys of the hub", COLUMNS, found.map(row))
        : el(
            "p",
            { class: "empty" },
            keys.length > 0 ? "No key has this name." : "The hub has no key yet.",
          ),
    );
  };
  const load = async () => {
    try {
      ({ data: keys } = await session.call("GET", "/admin/v1/keys"));
      place.replaceChildren();
      draw();
    } catch (error) {
      showError(place, error);
    }
  };
  const path = (id, rest = "") => `/admin/v1/keys/${id}${rest}`;

  /** Sends a change from a dialog, which stays open with the error if it fails. */
  const submit = async (place, form, close, work) => {
    for (const control of form.querySelectorAll("button")) control.disabled = true;
    try {
      const done = await work();
      close();
      await load();
      return done;
    } catch (error) {
      showError(place, error);
      if (error.param) refuseField(form, error.param);
      return undefined;
    } finally {
      for (const control of form.querySelectorAll("button")) control.disabled = false;
    }
  };

  /** Opens a dialog with a form, its error, and the buttons that end it. */
  const ask = (title, { className = "main", verb, body, work, focus }) =>
    openDialog(title, (close) => {
      const error = errorPlace();
      const yes = el("button", { class: className }, verb);
      const no = button("Cancel", close);
      const form = el("form", { class: "stack", novalidate: true }, ...body, error);
      form.append(el("div", { class: "actions" }, yes, no));
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        await submit(error, form, close, () => work(form));
      });
      if (focus === "no") no.autofocus = true;
      return [form];
    });

  const create = () =>
    ask("New key", {
      verb: "Make the key",
      body: formOf(initialFields(), { isNew: true }),
      work: async (form) => {
        const made = await session.call("POST", "/admin/v1/keys", changedFields(form));
        report(`The key ${made.id} is made.`);
        queueMicrotask(() => showKey(made));
      },
    });

  const edit = (key) =>
    ask(`Change ${key.id}`, {
      verb: "Save",
      body: formOf(key, { isNew: false }),
      work: async (form) => {
        const changes = changedFields(form);
        if (Object.keys(changes).length === 0) return report("Nothing was changed.");
        await session.call("POST", path(key.id), changes);
        report(`The key ${key.id} is changed.`);
      },
    });

  const rotate = (key) => {
    const choice = el(
      "select",
      { id: "overlap" },
      OVERLAPS.map(([seconds, words]) =>
        el("option", { value: seconds, selected: seconds === 86400 }, words),
      ),
    );
    return ask(`Rotate ${key.id}`, {
      verb: "Make a new key",
      body: [
        el(
          "p",
          {},
          "The hub makes a new text for this key. Everything else stays: fields, sessions, usage.",
        ),
        el("div", {}, el("label", { for: "overlap" }, "The present text ends"), choice),
        el("p", { class: "quiet" }, "A rotation ends no stream. Revoke a key that has leaked."),
      ],
      work: async () => {
        const overlap_s = Number(choice.value);
        const made = await session.call("POST", path(key.id, "/rotate"), { overlap_s });
        report(`The key ${key.id} has a new text.`);
        queueMicrotask(() => showKey(made));
      },
    });
  };

  const revoke = (key) =>
    ask(`Revoke ${key.id}?`, {
      verb: "Revoke",
      className: "danger",
      focus: "no",
      body: [
        el(
          "p",
          {},
          "The key is refused from the next request on, and its streams end. This cannot be undone.",
        ),
        key.id === session.id && el("p", {}, "It is the key that you are signed in with."),
      ].filter(Boolean),
      work: async () => {
        await session.call("DELETE", path(key.id));
        report(`The key ${key.id} is revoked.`);
      },
    });

  const toggle = async (key) => {
    try {
      await session.call("POST", path(key.id), { disabled: !key.disabled });
      report(`The key ${key.id} is ${key.disabled ? "enabled" : "disabled"}.`);
      await load();
      // The button that had the focus was replaced.
      list.querySelector(`[data-toggle="${key.id}"]`)?.focus();
    } catch (error) {
      showError(place, error);
    }
  };

  const row = (key) => {
    const { id, label } = key;
    const named = (words) => ({ label: `${words} ${id}` });
    const switching = key.disabled ? "Enable" : "Disable";
    return [
      [
        el("code", {}, id),
        label && el("span", { class: "quiet label", dir: "auto", title: label }, label),
      ].filter(Boolean),
      stateOf(key),
      key.scopes.includes("admin")
        ? el("span", { class: "quiet" }, "administrates")
        : agentsOf(key),
      limitsOf(key),
      todayOf(key),
      el(
        "div",
        { class: "actions" },
        button("Edit", () => edit(key), named("Edit")),
        button("Rotate", () => rotate(key), named("Rotate")),
        button(switching, () => toggle(key), { ...named(switching), "data-toggle": id }),
        button("Revoke", () => revoke(key), { ...named("Revoke"), className: "danger" }),
      ),
    ];
  };

  root.append(
    el(
      "div",
      { class: "head" },
      heading,
      note,
      el(
        "div",
        { class: "actions" },
        el("label", { for: "filter" }, "Find"),
        el("div", {}, filter),
      ),
      button("Refresh", () => load().then(() => report("The list is up to date."))),
      button("New key", create, { className: "main" }),
    ),
    place,
    list,
  );
  load();
}

function stateOf({ disabled, not_before, expires, previous_key_valid_until: until }) {
  const now = Date.now();
  const [className, name] = disabled
    ? ["off", "Disabled"]
    : expires && Date.parse(expires) <= now
      ? ["bad", "Expired"]
      : not_before && Date.parse(not_before) > now
        ? ["warn", "Not yet valid"]
        : ["good", "Active"];
  const notes = [
    not_before && Date.parse(not_before) > now && `from ${dateOf(not_before)}`,
    expires && `until ${dateOf(expires)}`,
    until && until * 1000 > now && `the old text until ${timeOf(until)}`,
  ];
  return [
    el("span", { class: `state ${className}` }, name),
    ...notes.filter(Boolean).map((note) => el("span", { class: "quiet" }, note)),
  ];
}

const agentsOf = ({ agents, default_agent }) => [
  el("span", {}, agents.includes("*") ? "every agent" : agents.join(", ")),
  ...(default_agent && agents.length > 1
    ? [el("span", { class: "quiet" }, `default ${default_agent}`)]
    : []),
];

function limitsOf(key) {
  const limits = [
    key.requests_per_minute && `${key.requests_per_minute.limit} a minute`,
    key.concurrent_runs.limit && `${key.concurrent_runs.limit} at once`,
    key.runs_per_day.limit && `${short(key.runs_per_day.limit)} runs a day`,
    key.tokens_per_day.limit && `${short(key.tokens_per_day.limit)} tokens a day`,
    key.tokens_per_month.limit && `${short(key.tokens_per_month.limit)} tokens a month`,
    key.networks.length > 0 && count(key.networks.length, "network"),
    key.origins.length > 0 && count(key.origins.length, "web page"),
  ].filter(Boolean);
  return limits.length > 0
    ? limits.map((limit) => el("span", { class: "line" }, limit))
    : el("span", { class: "quiet" }, "none");
}

function todayOf({ usage_today: used, concurrent_runs }) {
  const failed = used.provider_failures + used.other_failures;
  const lines = [
    `${count(used.runs, "run")}, ${short(used.input_tokens + used.output_tokens)} tokens`,
    failed > 0 && `${failed} failed`,
    concurrent_runs.running > 0 && `${concurrent_runs.running} running`,
  ];
  return lines.filter(Boolean).map((line) => el("span", { class: "line" }, line));
}

/** Shows a new key. It leaves the page with the dialog. */
export function showKey({ id, key, scopes }) {
  const base = `${location.origin}/v1`;
  const runs = !scopes.includes("admin");
  const config = JSON.stringify({ base_url: base, api_key: key, model: "openclaw" });
  return openDialog(`The key ${id}`, (close) =>
    [
      el(
        "p",
        {},
        "This is the only time that it is shown: the hub keeps only a hash. Copy it now.",
      ),
      copyable("Key", key),
      runs && copyable("Base URL", base),
      runs && copyable("Model", "openclaw"),
      runs &&
        el(
          "div",
          { class: "stack" },
          qrImage(config),
          el("p", { class: "quiet" }, "For a phone: JSON with base_url, api_key and model."),
        ),
      el("div", { class: "actions" }, button("Done", close, { className: "main" })),
    ].filter(Boolean),
  );
}

function qrImage(text) {
  const size = qrSize(text) + 8;
  return svg(
    "svg",
    {
      class: "qr",
      viewBox: `-4 -4 ${size} ${size}`,
      role: "img",
      "aria-label": "QR code with the base URL, the key and the model",
    },
    svg("path", { d: qrPath(text) }),
  );
}
