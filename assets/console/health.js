// Shows whether the gateway can be used, and if not, why and what helps.

import { button, el, errorPlace, report, showError } from "./dom.js";
import { count } from "./text.js";

const STATES = {
  ready: ["good", "Ready", "The gateway answers."],
  not_ready: ["bad", "Not ready", "The gateway cannot be used."],
  unknown: ["warn", "Unknown", "Nobody has asked the gateway for a while."],
};

export function showHealth({ root, heading, session }) {
  const place = errorPlace();
  const card = el("div", { class: "card stack", "aria-live": "polite" });
  root.append(
    el(
      "div",
      { class: "head" },
      heading,
      el("p", { class: "quiet" }, "The Worker asks the gateway at most every 5 seconds."),
      button("Check again", () => load().then(() => report("Checked."))),
    ),
    place,
    card,
  );
  const load = async () => {
    try {
      const [ready, about] = await Promise.all([session.ready(), session.about()]);
      place.replaceChildren();
      card.replaceChildren(...described(ready, about));
    } catch (error) {
      card.replaceChildren();
      showError(place, error);
    }
  };
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
  return [
    el(
      "dl",
      {},
      facts
        .filter(Boolean)
        .flatMap(([term, ...values]) => [el("dt", {}, term), el("dd", {}, ...values)]),
    ),
  ];
}
