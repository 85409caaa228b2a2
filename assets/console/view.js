// Lays out a view: its head, its errors, and what was fetched for it.

import { box, button, errorPlace, report, showError } from "./dom.js";

/**
 * Fills a view, whose content `load` fetches and draws. Returns `attempt`, which does some work and
 * resolves to true or shows its error, and `draw`, which replaces the content.
 */
export function layOut({ root, heading }, load, note, ...controls) {
  const place = errorPlace();
  const content = box("stack");
  const refresh = async () => {
    place.replaceChildren();
    if (await load()) report("Up to date.");
  };
  root.append(box("head", heading, note, button("Refresh", refresh), controls), place, content);
  const attempt = async (work) => {
    try {
      await work();
      place.replaceChildren();
      return true;
    } catch (error) {
      // A view that loads itself again does not repeat to a screen reader what is there already.
      if (place.firstChild?.textContent !== error.message) showError(place, error);
      return false;
    }
  };
  const draw = (...children) => {
    const old = document.activeElement;
    const isWithin = content.contains(old);
    content.replaceChildren(...children);
    if (!isWithin) return;
    // The control that had the focus was replaced.
    const all = [...content.querySelectorAll("button")];
    (all.find(({ dataset }) => dataset.at === old.dataset.at) ?? heading).focus();
  };
  return { attempt, draw };
}

export const empty = (text) => box("empty", text);
