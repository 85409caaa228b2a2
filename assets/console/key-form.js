// The form of a key's fields. A field that is not changed is not sent, an empty one is the default.

import { box, el, labelled } from "./dom.js";
import { dateOf, listOf } from "./text.js";

const DATE = "A day, 2027-06-30, or a time, 2027-06-30T18:00:00Z";
const LIST = "Separated by commas";

/** The fields in groups: `[name, label, kind, note or words]`. */
const GROUPS = [
  [
    undefined,
    [
      ["id", "Name", "id", "a to z, 0 to 9 and -, at most 32. It stays in logs and sessions."],
      ["label", "Label", "text", "For people"],
      ["agents", "Agents", "list", `${LIST}; * for every agent`],
      ["default_agent", "Default agent", "text", "For requests that name none"],
      ["scopes", "Scopes", "choices", ["chat", "responses", "models", "status", "admin"]],
      ["not_before", "Valid from", "date", DATE],
      ["expires", "Expires", "date", DATE],
    ],
  ],
  [
    "Limits",
    [
      ["requests_per_minute", "Requests a minute", "number"],
      ["concurrent_runs", "Runs at once", "number"],
      ["runs_per_day", "Runs a day", "number"],
      ["tokens_per_day", "Tokens a day", "number"],
      ["tokens_per_month", "Tokens a month", "number"],
      ["networks", "Networks", "list", `${LIST}: 203.0.113.0/24`],
      ["origins", "Web pages", "list", `${LIST}: https://chat.example.com`],
    ],
  ],
  [
    "Sessions and answers",
    [
      ["sessions", "Sessions", "word", ["own", "any"]],
      ["conversations", "Headers that name a conversation", "list", LIST],
      ["tasks", "Calls of a chat UI itself", "word", ["aside", "inline"]],
      ["system", "Instructions of the client", "word", ["allow", "user", "refuse"]],
      ["tools", "Tools of the client", "word", ["ignore", "refuse", "run"]],
      ["on_disconnect", "When the client leaves", "word", ["abort", "finish"]],
      ["keep_alive_s", "Seconds until a status is sent", "number"],
      ["linger_s", "Seconds to wait for sub-agents", "number"],
      ["heartbeat", "Comments in silent streams", "switch"],
      ["files", "Links to files", "switch"],
      ["reasoning", "Thoughts of the model", "switch"],
      ["progress", "Comments about tools", "switch"],
      ["aliases", "Every name of an agent as a model", "switch"],
    ],
  ],
];
const FIELDS = GROUPS.flatMap(([, fields]) => fields);

export const initialFields = () => ({
  agents: [],
  scopes: ["chat", "models", "responses"],
  ...{ sessions: "own", tasks: "aside", system: "allow", tools: "ignore", on_disconnect: "abort" },
  ...{ keep_alive_s: 30, heartbeat: true, files: true },
  ...{ reasoning: false, progress: false, aliases: false },
});

/** Returns a field's value as its control has it. */
function shown(key, [name, , kind]) {
  const value = key[name];
  if (kind === "number") return String((typeof value === "object" ? value?.limit : value) ?? "");
  if (kind === "list") return (value ?? []).join(", ");
  if (kind === "choices") return [...(value ?? [])].sort().join(", ");
  if (kind === "date" && value) return /T00:00:00Z$/.test(value) ? dateOf(value) : value;
  return String(value ?? "");
}

/** Returns the parts of a form with the key's fields. */
export const formOf = (key, { isNew }) =>
  GROUPS.map(([title, fields]) => {
    const own = fields
      .filter(([, , kind]) => isNew || kind !== "id")
      .map((field) => fieldOf(key, field));
    const grid = box("fields", own);
    return title ? el("details", {}, el("summary", {}, title), grid) : grid;
  });

function fieldOf(key, field) {
  const [name, label, kind, more] = field;
  const id = `field-${name}`;
  const value = shown(key, field);
  if (kind === "choices") {
    const boxes = more.map((word) => {
      const checked = key[name].includes(word);
      return el("label", {}, el("input", { type: "checkbox", name, value: word, checked }), word);
    });
    const attributes = { class: "wide", id, "data-shown": value };
    return el("fieldset", attributes, el("legend", {}, label), box("choices", boxes));
  }
  const common = { id, name, "data-shown": value };
  const words = kind === "switch" ? ["true", "false"] : more;
  const option = (word) => {
    const text = kind === "word" ? word : { true: "on", false: "off" }[word];
    return el("option", { value: word, selected: word === value }, text);
  };
  const isChoice = kind === "word" || kind === "switch";
  const note = typeof more === "string" && el("p", { class: "quiet", id: `${id}-note` }, more);
  const control = isChoice
    ? el("select", common, words.map(option))
    : el("input", {
        ...common,
        value,
        autocomplete: "off",
        spellcheck: "false",
        inputmode: kind === "number" && "numeric",
        required: kind === "id",
        "aria-describedby": note && `${id}-note`,
        class: ["id", "list", "date"].includes(kind) && "code",
        dir: name === "label" && "auto",
      });
  const whole = labelled(label, control);
  whole.append(note || "");
  return whole;
}

/** Returns the members that the form changes, as the API takes them. */
export function changedFields(form) {
  const changes = {};
  for (const [name, , kind] of FIELDS) {
    const control = form.querySelector(`#field-${name}`);
    if (!control) continue;
    control.removeAttribute("aria-invalid");
    const text = kind === "choices" ? checked(control) : control.value.trim();
    if (text !== control.dataset.shown) changes[name] = memberOf(kind, text);
  }
  return changes;
}

const checked = (control) =>
  [...control.querySelectorAll(":checked")]
    .map(({ value }) => value)
    .sort()
    .join(", ");

function memberOf(kind, text) {
  if (text === "") return null;
  if (kind === "list" || kind === "choices") return listOf(text);
  if (kind === "number") return /^\d+$/.test(text) ? Number(text) : text;
  return kind === "switch" ? text === "true" : text;
}
