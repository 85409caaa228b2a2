// Shows whether the gateway can be used, and if not, why and what helps.

import { el, quiet } from "./dom.js";
import { count } from "./text.js";
import { layOut } from "./view.js";

const STATES = {
  ready: ["good", "Ready", "The gateway answers."],
  not_ready: ["bad", "Not ready", "The gateway cannot be used."],
  unknown: ["warn", "Unknown", "Nobody has asked the gateway for a while."],
};

export function showHealth({ session, ...frame }) {
  const card = el("div", { class: "card", "aria-live": "polite" });
  const note = quiet("The Worker asks the gateway at most every 5 seconds.");
  const load = async () => {
    const isKnown = await attempt(async () => {
      const [ready, about] = await Promise.all([
        session.call("GET", "/readyz"),
        session.call("GET", "/v1"),
      ]);
      card.replaceChildren(described(ready, about));
    });
    if (!isKnown) card.replaceChildren();
    return isKnown;
  };
  const { attempt, draw } = layOut(frame, load, note);
  draw(card);
  load();
}

function described({ status, agents, cause, hint, checked_s_ago: ago }, { version }) {
  const [className, name, meaning] = STATES[status];
  const facts = [
    ["Gateway", el("span", { class: `state ${className}` }, name), ` ${meaning}`],
    cause && ["Cause", el("code", {}, cause)],
    hint && ["Fix", hint],
    agents !== undefined && ["Agents", count(agents, "agent")],
    ago !== undefined && ["Checked", ago === 0 ? "just now" : `${count(ago, "second")} ago`],
    ["Worker", `Clawfront ${version} at ${location.host}`],
  ];
  const lines = facts
    .filter(Boolean)
    .map(([term, ...values]) => [el("dt", {}, term), el("dd", {}, values)]);
  return el("dl", {}, lines);
}
