// Makes elements. Text goes into the page as text only: no function here reads HTML.

/** Makes an element. Attributes that are functions become listeners, `false` leaves one out. */
export const el = (name, attributes, ...children) =>
  filled(document.createElement(name), attributes, children);

/** Makes an element of a drawing. */
export const svg = (name, attributes, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  // A list of children may have what a condition has left out.
  element.append(...children.flat(2).filter((child) => child || child === 0));
  return element;
}

/** Makes a block with a class. */
export const box = (className, ...children) => el("div", { class: className }, children);

/** Makes a line of less weight. */
export const quiet = (...children) => el("p", { class: "quiet" }, children);

/** Makes a button. `className` is `main`, `danger` or nothing. */
export const button = (text, click, { className, label, ...more } = {}) =>
  el("button", { type: "button", class: className, "aria-label": label, click, ...more }, text);

/** Makes a block of a control with its label. */
export const labelled = (label, control, className) =>
  box(className, el("label", { for: control.id }, label), control);

/** Makes an input and its block: `[input, block]`. */
export function inputOf(label, { className, ...attributes }) {
  const input = el("input", { autocomplete: "off", spellcheck: "false", ...attributes });
  return [input, labelled(label, input, className)];
}

/** Makes an input for a key, which nobody reads over a shoulder. */
export const keyInput = (label, id, attributes) =>
  inputOf(label, { id, type: "password", class: "code", placeholder: "claw_…", ...attributes });

/**
 * Makes a table. `columns` are its heads, `rows` lists of cells. The roles are written out, because
 * on a narrow screen the style makes a block of each row.
 */
export function table(caption, columns, rows) {
  const head = columns.map((text) => el("th", { role: "columnheader", scope: "col" }, text));
  const body = rows.map((cells) =>
    el(
      "tr",
      { role: "row" },
      cells.map((cell, at) => el("td", { role: "cell", "data-column": columns[at] }, cell)),
    ),
  );
  return el(
    "table",
    { role: "table", "aria-label": caption },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    el("tbody", { role: "rowgroup" }, body),
  );
}

/** Reports a result to everybody, also to a screen reader. */
export function report(text) {
  const status = document.getElementById("status");
  status.textContent = text;
  clearTimeout(report.timer);
  report.timer = setTimeout(() => status.replaceChildren(), REPORT_MS);
}
const REPORT_MS = 8000;

/** Makes a place for the errors of a form or view. */
export const errorPlace = () => el("div", { class: "error", role: "alert" });

/** Shows an error with its code and the id of the request, by which the log has it. */
export function showError(place, { message, code, requestId }) {
  const parts = [code && `Code ${code}`, requestId && `Request ${requestId}`];
  place.replaceChildren(el("p", {}, message), quiet(parts.filter(Boolean).join(" · ")));
}

/** Makes a text that can be copied. */
export function copyable(label, value) {
  const id = `copy-${label.toLowerCase().replaceAll(" ", "-")}`;
  const input = el("input", { id, value, readonly: true, class: "code", spellcheck: "false" });
  const copy = async () => {
    input.select();
    try {
      await navigator.clipboard.writeText(value);
      report(`${label} copied.`);
    } catch {
      report("It is selected: copy it with the keyboard.");
    }
  };
  return box(
    "copy",
    el("label", { for: id }, label),
    input,
    button("Copy", copy, { label: `Copy ${label.toLowerCase()}` }),
  );
}
