// Asks for something in a form, which may be in a dialog.

import { box, button, el, errorPlace, showError } from "./dom.js";

/** Does what a form is for, once at a time. If it fails, the form stays, with the error. */
export async function submit(event, place, work) {
  event.preventDefault();
  const controls = [...event.target.querySelectorAll("button")];
  for (const control of controls) control.disabled = true;
  place.replaceChildren();
  try {
    await work();
  } catch (error) {
    showError(place, error);
    refuse(document.getElementById(`field-${error.param}`));
  } finally {
    for (const control of controls) control.disabled = false;
  }
}

/** Shows which field the API has refused, if the form has it. */
function refuse(field) {
  if (!field) return;
  const details = field.closest("details");
  if (details) details.open = true;
  field.setAttribute("aria-invalid", "true");
  field.focus();
}

/**
 * Opens a dialog with a form, and resolves to the result of `work` once that has succeeded, or to
 * nothing if the dialog was closed.
 */
export async function ask(title, { className = "main", verb, body, work }) {
  let done;
  await openDialog(title, (close) => {
    const place = errorPlace();
    const send = async (event) =>
      submit(event, place, async () => {
        done = await work(form);
        close();
      });
    const yes = el("button", { class: className }, verb);
    // A key that is pressed by mistake must not revoke anything.
    const no = button("Cancel", close, { autofocus: className === "danger" });
    const form = el(
      "form",
      { class: "stack", novalidate: true, submit: send },
      ...[body, place, box("actions", yes, no)],
    );
    return [form];
  });
  return done;
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
