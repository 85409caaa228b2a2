// Shows the runs that have not ended, and stops them.

import { box, button, el, quiet, report, table } from "./dom.js";
import { ask } from "./form.js";
import { count, timeOf } from "./text.js";
import { empty, layOut } from "./view.js";

/** Time between two lists, in milliseconds. A run changes its state in seconds. */
const PERIOD_MS = 3000;

const COLUMNS = ["Run", "Key", "Agent", "State", "Since (UTC)", ""];

/** Characters of an id that are shown: the whole id is longer than the rest of its row. */
const SHOWN_CHARS = 12;

export function showRuns({ session, ...frame }) {
  const note = quiet();
  const { attempt, draw } = layOut(frame, load, note);
  let shown;
  let timer;

  const stop = async ({ id }, name) => {
    const done = await ask(`Stop the run ${name}?`, {
      verb: "Stop",
      className: "danger",
      body: ["The agent stops, and its clients get an error. This cannot be undone."],
      work: () => session.call("POST", `/admin/v1/runs/${encodeURIComponent(id)}/stop`),
    });
    if (!done) return;
    report(done.stopped ? "The run is stopped." : "It is stopped when the gateway is back.");
    await load();
  };
  const row = (run) => {
    const name = run.id.slice(0, SHOWN_CHARS);
    const label = `Stop ${name}`;
    return [
      [el("code", { title: run.id }, name), run.session && quiet("session ", run.session)],
      run.key && el("code", {}, run.key),
      run.agent,
      [
        el("span", { class: `state ${run.state === "running" ? "good" : "warn"}` }, run.state),
        quiet(run.clients > 0 ? count(run.clients, "client") : "no client"),
      ],
      timeOf(run.created_at),
      run.can_be_stopped
        ? box(
            "actions",
            button("Stop", () => stop(run, name), {
              className: "danger",
              label,
              "data-at": run.id,
            }),
          )
        : quiet("This gateway cannot stop it."),
    ];
  };
  const show = (runs) => {
    // A list that is read or used stays as it is while nothing has changed.
    const text = JSON.stringify(runs);
    if (text === shown) return;
    shown = text;
    note.textContent = `${count(runs.length, "run")} now. The list renews itself.`;
    draw(runs.length > 0 ? table("Runs", COLUMNS, runs.map(row)) : empty("Nothing runs now."));
  };
  function load() {
    return attempt(async () => show((await session.call("GET", "/admin/v1/runs")).data));
  }

  /** Loads the list while somebody can see it, one request after the other. */
  const renew = async () => {
    if (!document.hidden && !document.querySelector("dialog")) await load();
    clearTimeout(timer);
    if (frame.root.isConnected) timer = setTimeout(renew, PERIOD_MS);
  };
  document.addEventListener("visibilitychange", renew);
  renew();
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", renew);
  };
}
