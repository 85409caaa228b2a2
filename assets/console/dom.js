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
  element.append(...children.flat().filter((child) => child !== undefined && child !== false));
  return element;
}

/** Makes a button. `className` is `main`, `danger` or nothing. */
export const button = (text, click, { className, label, ...more } = {}) =>
  el("button", { type: "button", class: className, "aria-label": label, click, ...more }, text);

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
      cells.map((cell, index) =>
        el("td", { role: "cell", "data-column": columns[index] }, ...[cell].flat()),
      ),
    ),
  );
  return el(
    "table",
    { role: "table" },
    el("caption", {}, caption),
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
export function showError(place, error) {
  const { message, code, requestId } = error;
  place.replaceChildren(
    el("p", {}, message),
    el(
      "p",
      { class: "quiet" },
      ...[code && `Code ${code}`, requestId && `Request ${requestId}`].filter(Boolean).join(" · "),
    ),
  );
}

/**
 * Opens a dialog with a heading and resolves when it is closed. It leaves the page then, with
 * everything in it.
 */
export function openDialog(heading, fill) {
  const dialog = el("dialog", { "aria-labelledby": "dialog-heading" });
  const close = () => dialog.close();
  dialog.append(el("h2", { id: "dialog-heading" }, heading), ...fill(close));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve();
    }),
  );
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
  return el(
    "div",
    { class: "copy" },
    el("label", { for: id }, label),
    input,
    button("Copy", copy, { label: `Copy ${label.toLowerCase()}` }),
  );
}
