// A conversation with an agent, through the same endpoint that every client uses.

import { Api, ApiError } from "./api.js";
import {
  box,
  button,
  el,
  errorPlace,
  inputOf,
  keyInput,
  labelled,
  quiet,
  report,
  showError,
} from "./dom.js";
import { submit } from "./form.js";
import { count, listOf } from "./text.js";

/** An hour, the life of a key that is made here. */
const LIFE_MS = 3_600_000;

export function showChat({ root, heading, session }) {
  const note = quiet("An administrator's key cannot chat: a conversation has a key of its own.");
  const body = el("div");
  root.append(box("head", heading, note), body);
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
  const [agents, agentsField] = inputOf("Agents", { id: "agents", class: "code", value: "*" });
  const [own, ownField] = keyInput("Client key", "chat-key");
  const start = (event, bearerOf) =>
    submit(event, place, async () => {
      const bearer = await bearerOf();
      try {
        const { data } = await bearer.api.call("GET", "/v1/models");
        if (data.length === 0) throw new Error("This key reaches no agent of the gateway.");
        begin(bearer, data);
      } catch (error) {
        bearer.end();
        throw error;
      }
    });
  const form = (bearerOf, ...children) =>
    el("form", { class: "card stack", submit: (event) => start(event, bearerOf) }, children);
  return box(
    "stack",
    place,
    form(
      () => makeKey(session, agents.value),
      el("h2", {}, "With a new key, for an hour"),
      quiet(
        "It chats with these agents, and is revoked when you end the conversation or sign out.",
      ),
      agentsField,
      box("actions", el("button", { class: "main" }, "Make it and begin")),
    ),
    form(
      () => ({ id: "the key that you gave", api: new Api(own.value.trim()), async end() {} }),
      el("h2", {}, "With a key that you have"),
      quiet("Its limits and usage count as always. It is not stored."),
      ownField,
      box("actions", el("button", {}, "Begin")),
    ),
  );
}

/** Makes a key that chats, and expires within an hour even if nobody revokes it. */
async function makeKey(session, agents) {
  const random = crypto.getRandomValues(new Uint32Array(1));
  const { id, key } = await session.call("POST", "/admin/v1/keys", {
    id: `console-${random[0].toString(36)}`,
    label: "A conversation in the console",
    agents: listOf(agents),
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
  const options = models.map(({ id, name }) =>
    el("option", { value: id }, name && name !== id ? `${id} (${name})` : id),
  );
  const model = el("select", { id: "model" }, options);
  const input = el("textarea", { id: "message", rows: "3", required: true, dir: "auto" });
  const send = el("button", { class: "main" }, "Send");
  const stop = button("Stop", () => controller?.abort(), { disabled: true });
  const say = (who, text) => {
    const words = el("p", { class: "words", dir: "auto" }, text);
    log.append(
      box(`turn ${who}`, el("h3", { class: "quiet" }, who === "you" ? "You" : model.value), words),
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
        words.parentElement.append(quiet("You stopped this answer."));
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
  const sent = (event) => {
    event.preventDefault();
    ask();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) sent(event);
  });
  const view = box(
    "card stack",
    box(
      "actions",
      labelled("Model", model, "actions"),
      el("p", { class: "quiet grow" }, "Key ", el("code", {}, bearer.id)),
      button("New conversation", another),
      button("End", end, { label: "End the conversation" }),
    ),
    log,
    place,
    el(
      "form",
      { class: "stack", submit: sent },
      labelled("Message", input),
      box("actions", send, stop, quiet("Enter sends, Shift and Enter begin a line.")),
    ),
  );
  return [view, () => controller?.abort()];
}

/** Streams an answer and shows its pieces. An error in the stream is thrown as any other. */
async function stream(api, body, { signal, show }) {
  const response = await api.send("POST", "/v1/chat/completions", body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    // The API writes each event's data in one line.
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (!line.startsWith("data: ")) continue;
      const { error, choices } = JSON.parse(line.slice("data: ".length));
      if (error) throw new ApiError(response, error);
      show(choices?.[0]?.delta?.content ?? "");
    }
  }
  const cut = { code: "stream_cut", message: "The stream ended before the answer did." };
  throw new ApiError(response, cut);
}
