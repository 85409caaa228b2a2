// Shows who has changed which key, the latest change first.

import { button, el, errorPlace, report, showError, table } from "./dom.js";
import { count, timeOf } from "./text.js";

const WORDS = {
  "key.created": "made",
  "key.updated": "changed",
  "key.rotated": "rotated",
  "key.deleted": "revoked",
};

/** Rows that are shown at first: all 1000 make the page long. */
const FIRST_ROWS = 100;

export function showAudit({ root, heading, session }) {
  const filter = el("input", { id: "filter", type: "search", autocomplete: "off" });
  const place = errorPlace();
  const list = el("div", { class: "stack" });
  const note = el("p", { class: "quiet" });
  let records = [];
  let rows = FIRST_ROWS;
  root.append(
    el(
      "div",
      { class: "head" },
      heading,
      note,
      el(
        "div",
        { class: "actions" },
        el("label", { for: "filter" }, "Key or actor"),
        el("div", {}, filter),
      ),
      button("Refresh", () => load().then(() => report("The list is up to date."))),
    ),
    place,
    list,
  );
  const draw = () => {
    const wanted = filter.value.trim();
    const found = records.filter(
      ({ key, actor }) => key.includes(wanted) || actor.includes(wanted),
    );
    note.textContent = `${count(found.length, "change")}; the hub keeps the last 1000.`;
    if (found.length === 0) return list.replaceChildren(el("p", { class: "empty" }, "No change."));
    const cells = found
      .slice(0, rows)
      .map(({ time, actor, action, key }) => [
        timeOf(time),
        el("code", {}, actor),
        WORDS[action] ?? action,
        el("code", {}, key),
      ]);
    list.replaceChildren(table("Changes of keys", ["Time (UTC)", "Actor", "Change", "Key"], cells));
    if (found.length > rows)
      list.append(
        button(`Show all ${found.length}`, () => {
          rows = Number.POSITIVE_INFINITY;
          draw();
        }),
      );
  };
  const load = async () => {
    try {
      ({ data: records } = await session.call("GET", "/admin/v1/audit"));
      place.replaceChildren();
      draw();
    } catch (error) {
      showError(place, error);
    }
  };
  filter.addEventListener("input", draw);
  load();
}
