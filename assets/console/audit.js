// Shows who has changed which key, the latest change first.

import { button, el, inputOf, quiet, table } from "./dom.js";
import { count, timeOf } from "./text.js";
import { empty, layOut } from "./view.js";

const WORDS = {
  "key.created": "made",
  "key.updated": "changed",
  "key.rotated": "rotated",
  "key.deleted": "revoked",
  "run.stopped": "a run stopped",
};

/** Rows that are shown at first: all 1000 make the page long. */
const FIRST_ROWS = 100;

export function showAudit({ session, ...frame }) {
  const filterOf = { id: "filter", type: "search", className: "actions" };
  const [filter, find] = inputOf("Key or actor", filterOf);
  const note = quiet();
  const { attempt, draw } = layOut(frame, load, note, find);
  let records = [];
  let rows = FIRST_ROWS;
  const show = () => {
    const wanted = filter.value.trim();
    const found = records.filter(
      ({ key, actor }) => key.includes(wanted) || actor.includes(wanted),
    );
    note.textContent = `${count(found.length, "change")}; the hub keeps the last 1000.`;
    if (found.length === 0) return draw(empty("No change."));
    const cells = found
      .slice(0, rows)
      .map(({ time, actor, action, key }) => [
        timeOf(time),
        el("code", {}, actor),
        WORDS[action] ?? action,
        el("code", {}, key),
      ]);
    const all = button(`Show all ${found.length}`, () => {
      rows = Number.POSITIVE_INFINITY;
      show();
    });
    const changes = table("Changes of keys", ["Time (UTC)", "Actor", "Change", "Key"], cells);
    draw(changes, found.length > rows ? all : "");
  };
  function load() {
    return attempt(async () => {
      ({ data: records } = await session.call("GET", "/admin/v1/audit"));
      show();
    });
  }
  filter.addEventListener("input", show);
  load();
}
