// Shows what all keys have used: a bar for each day, a row for each key and agent.

import { el, labelled, quiet, svg, table } from "./dom.js";
import { count, short } from "./text.js";
import { empty, layOut } from "./view.js";

const DAY_MS = 86_400_000;
const COUNTS = ["requests", "runs", "input_tokens", "output_tokens"];
const COLUMNS = ["Key", "Agent", "Requests", "Runs", "Tokens in", "Tokens out"];

const sum = (entries, name) => entries.reduce((all, entry) => all + entry[name], 0);
const tokensOf = (entries = []) => sum(entries, "input_tokens") + sum(entries, "output_tokens");

export function showUsage({ session, ...frame }) {
  const options = [7, 31, 92].map((days) => el("option", { value: days }, `${days} days`));
  const period = el("select", { id: "period", change: () => load() }, options);
  const note = quiet();
  const { attempt, draw } = layOut(frame, load, note, labelled("Period", period, "actions"));

  const show = (entries, first, length) => {
    // Another answer is on its way.
    if (length !== period.value) return;
    note.textContent = `${count(tokensOf(entries), "token")} in ${length} days, UTC.`;
    if (entries.length === 0) return draw(empty("Nothing was used."));
    const byDate = Object.groupBy(entries, ({ date }) => date);
    const days = Array.from({ length }, (_, x) => {
      const date = new Date(first + x * DAY_MS).toISOString().slice(0, 10);
      return [date, tokensOf(byDate[date])];
    });
    const most = Math.max(1, ...days.map(([, tokens]) => tokens));
    const bars = days.map(([date, tokens], x) => {
      const height = tokens / most;
      return svg(
        "rect",
        { x, width: 0.8, y: 1 - height, height },
        svg("title", {}, `${date}: ${count(tokens, "token")}`),
      );
    });
    const chart = {
      class: "card chart",
      role: "img",
      "aria-label": `Tokens by day; most are ${most.toLocaleString("en")}`,
      viewBox: `0 0 ${length} 1`,
      preserveAspectRatio: "none",
    };
    const byKey = Object.groupBy(entries, ({ key, agent }) => `${key} ${agent}`);
    const rows = Object.values(byKey).map((all) => [
      el("code", {}, all[0].key),
      all[0].agent ?? "none",
      ...COUNTS.map((name) => short(sum(all, name))),
    ]);
    draw(svg("svg", chart, bars), table("Usage", COLUMNS, rows));
  };
  function load() {
    const days = period.value;
    const first = (Math.floor(Date.now() / DAY_MS) + 1 - days) * DAY_MS;
    return attempt(async () => {
      const path = `/admin/v1/usage?start_time=${first / 1000}`;
      show((await session.call("GET", path)).data, first, days);
    });
  }
  load();
}
