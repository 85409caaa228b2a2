// A conversation with an agent, through the same endpoint that every client uses.

import { Api, ApiError, errorOf } from "./api.js";
import { button, el, errorPlace, report, showError } from "./dom.js";
import { eventsOf } from "./sse.js";
import { count } from "./text.js";

/** An hour, the life of a key that is made here. */
const LIFE_MS = 3_600_000;

export function showChat({ root, heading, session }) {
  root.append(
    el(
      "div",
      { class: "head" },
      heading,
      el(
        "p",
        { class: "quiet" },
        "An administrator's key cannot chat: a conversation has a key of its own.",
      ),
    ),
  );
  const body = el("div", {});
  root.append(body);
  let leaveTalk;
  const choose = () => {
    leaveTalk = undefined;
    body.replaceChildren(chooser(session, talk));
  };
  const talk = (bearer, models) => {
    const [view, stop] = conversation(bearer, models, async () => {
      stop();
      session.chat = undefined;
      await bearer.end();
      choose();
    });
    session.chat = { bearer, models };
    leaveTalk = stop;
    body.replaceChildren(view);
  };
  // A key that was made stays while other views are open.
  if (session.chat) talk(session.chat.bearer, session.chat.models);
  else choose();
  return () => leaveTalk?.();
}

/** Asks which key the conversation is to have. */
function chooser(session, begin) {
  const place = errorPlace();
  const agents = el("input", {
    id: "agents",
    class: "code",
    value: "*",
    autocomplete: "off",
    spellcheck: "false",
  });
  const own = el("input", {
    id: "chat-key",
    type: "password",
    class: "code",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "claw_…",
  });
  const start = async (event, bearerOf) => {
    event.preventDefault();
    const controls = event.target.querySelectorAll("button");
    for (const control of controls) control.disabled = true;
    let bearer;
    try {
      bearer = await bearerOf();
      const { data } = await bearer.api.call("GET", "/v1/models");
      if (data.length === 0) throw new Error("This key reaches no agent of the gateway.");
      begin(bearer, data);
    } catch (error) {
      bearer?.end();
      for (const control of controls) control.disabled = false;
      showError(place, error);
    }
  };
  return el(
    "div",
    { class: "stack" },
    place,
    el(
      "form",
      {
        class: "card stack",
        submit: (event) => start(event, () => makeKey(session, agents.value)),
      },
      el("h2", {}, "With a new key, for an hour"),
      el(
        "p",
        { class: "quiet" },
        "It may chat with these agents. It is revoked when you end the conversation or sign out.",
      ),
      el("div", {}, el("label", { for: "agents" }, "Agents"), agents),
      el("div", { class: "actions" }, el("button", { class: "main" }, "Make it and begin")),
    ),
    el(
      "form",
      { class: "card stack", submit: (event) => start(event, () => pastedKey(own.value.trim())) },
      el("h2", {}, "With a key that you have"),
      el("p", { class: "quiet" }, "Its limits and usage count as always. It is not stored."),
      el("div", {}, el("label", { for: "chat-key" }, "Client key"), own),
      el("div", { class: "actions" }, el("button", {}, "Begin")),
    ),
  );
}

/** Makes a key that chats, and expires within an hour even if nobody revokes it. */
async function makeKey(session, agents) {
  const random = crypto.getRandomValues(new Uint32Array(2));
  const { id, key } = await session.call("POST", "/admin/v1/keys", {
    id: `console-${[...random]
      .map((part) => part.toString(36))
      .join("")
      .slice(0, 10)}`,
    label: "A conversation in the console",
    agents: agents
      .split(",")
      .map((agent) => agent.trim())
      .filter(Boolean),
    scopes: ["chat", "models"],
    concurrent_runs: 2,
    expires: `${new Date(Date.now() + LIFE_MS).toISOString().slice(0, 19)}Z`,
  });
  const end = async () => {
    session.atEnd.delete(end);
    await session.call("DELETE", `/admin/v1/keys/${id}`).catch(() => {});
  };
  session.atEnd.add(end);
  return { id, api: new Api(key), end };
}

function pastedKey(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error("This is not a key: a key begins with claw_.");
  return { id: "the key that you gave", api: new Api(key), end: async () => {} };
}

/** Returns the view of a conversation, and what stops an answer that is under way. */
function conversation(bearer, models, end) {
  let messages = [];
  let session = crypto.randomUUID();
  let controller;
  const place = errorPlace();
  const log = el("div", {
    class: "talk",
    role: "log",
    "aria-label": "Conversation",
    "aria-live": "off",
    tabindex: "0",
  });
  const model = el(
    "select",
    { id: "model" },
    models.map(({ id, name }) =>
      el("option", { value: id }, name && name !== id ? `${id} (${name})` : id),
    ),
  );
  const input = el("textarea", { id: "message", rows: "3", required: true, dir: "auto" });
  const send = el("button", { class: "main" }, "Send");
  const stop = button("Stop", () => controller?.abort(), { disabled: true });
  const say = (who, text) => {
    const words = el("p", { class: "words", dir: "auto" }, text);
    log.append(
      el("div", { class: `turn ${who}` }, el("h3", {}, who === "you" ? "You" : model.value), words),
    );
    return words;
  };
  const ask = async () => {
    const text = input.value.trim();
    if (!text || controller) return;
    place.replaceChildren();
    say("you", text);
    messages.push({ role: "user", content: text });
    input.value = "";
    controller = new AbortController();
    [send.disabled, stop.disabled] = [true, false];
    report("The agent answers.");
    const words = say("agent", "");
    let answer = "";
    const show = (piece) => {
      answer += piece;
      words.append(piece);
      log.scrollTop = log.scrollHeight;
    };
    const { signal } = controller;
    try {
      const body = { model: model.value, user: session, stream: true, messages };
      await stream(bearer.api, body, { signal, show });
      report(`The answer is complete: ${count(answer.length, "character")}.`);
    } catch (error) {
      if (signal.aborted) {
        words.parentElement.append(el("p", { class: "quiet" }, "You stopped this answer."));
        report("Stopped.");
      } else showError(place, error);
    }
    if (answer) messages.push({ role: "assistant", content: answer });
    else messages.pop();
    controller = undefined;
    [send.disabled, stop.disabled] = [false, true];
    input.focus();
  };
  const another = () => {
    controller?.abort();
    messages = [];
    session = crypto.randomUUID();
    log.replaceChildren();
    place.replaceChildren();
    input.focus();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    ask();
  });
  const form = el(
    "form",
    { class: "stack" },
    el("div", {}, el("label", { for: "message" }, "Message"), input),
    el(
      "div",
      { class: "actions" },
      send,
      stop,
      el("span", { class: "quiet" }, "Enter sends, Shift and Enter begin a line."),
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  const view = el(
    "div",
    { class: "card stack" },
    el(
      "div",
      { class: "actions" },
      el("label", { for: "model" }, "Model"),
      el("div", {}, model),
      el("span", { class: "quiet grow" }, "Key ", el("code", {}, bearer.id)),
      button("New conversation", another),
      button("End", end, { label: "End the conversation" }),
    ),
    log,
    place,
    form,
  );
  return [view, () => controller?.abort()];
}

/** Streams an answer and shows its pieces. An error in the stream is thrown as any other. */
async function stream(api, body, { signal, show }) {
  const response = await api.send("POST", "/v1/chat/completions", body, signal);
  if (!response.ok) throw await errorOf(response);
  const requestId = response.headers.get("x-request-id");
  for await (const data of eventsOf(response.body)) {
    if (data === "[DONE]") return;
    const { error, choices } = JSON.parse(data);
    if (error) throw new ApiError(200, error, requestId);
    const piece = choices?.[0]?.delta?.content;
    if (piece) show(piece);
  }
  const cut = { code: "stream_cut", message: "The stream ended before the answer did." };
  throw new ApiError(200, cut, requestId);
}
