// Signs the operator in and out, and shows one view at a time. The key is in this page's memory:
// it is in no storage, in no address, and gone with the page.

import { Api, errorOf } from "./api.js";
import { showAudit } from "./audit.js";
import { showChat } from "./chat.js";
import { button, el, errorPlace, report, showError } from "./dom.js";
import { showHealth } from "./health.js";
import { showKeys } from "./keys.js";

const VIEWS = {
  keys: ["Keys", showKeys],
  audit: ["Audit", showAudit],
  health: ["Health", showHealth],
  try: ["Try an agent", showChat],
};

const header = document.getElementById("header");
const content = document.getElementById("content");
const brand = header.firstElementChild;

/** The session, while somebody is signed in. */
let session;

/** A view that is left ends what it has begun, such as a timer. */
let leave;

function showSignIn(words) {
  header.replaceChildren(brand);
  document.title = "Sign in · Clawfront console";
  const place = errorPlace();
  if (words) place.append(el("p", {}, words));
  const input = el("input", {
    id: "key",
    type: "password",
    class: "code",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    placeholder: "claw_…",
    required: true,
  });
  const submit = el("button", { class: "main" }, "Sign in");
  const signIn = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    place.replaceChildren();
    try {
      await begin(input.value.trim());
    } catch (error) {
      submit.disabled = false;
      showError(place, error.status === 403 ? { ...error, message: notAdmin(error) } : error);
      input.focus();
    }
  };
  content.replaceChildren(
    el(
      "section",
      { class: "card narrow stack" },
      el("h1", { tabindex: "-1" }, "Sign in"),
      el("p", {}, "Sign in with a key whose scope is ", el("code", {}, "admin"), "."),
      place,
      el(
        "form",
        { class: "stack", submit: signIn },
        el("label", { for: "key" }, "Administrator's key"),
        input,
        el("div", { class: "actions" }, submit),
      ),
      el(
        "p",
        { class: "quiet" },
        "The key stays in the memory of this page. Nothing stores it: a reload forgets it.",
      ),
    ),
  );
  input.focus();
}

const notAdmin = ({ code, message }) =>
  code === "missing_scope"
    ? "This key is good, but it is not an administrator's: its scopes lack admin."
    : message;

/** Begins a session if the key administers. */
async function begin(key) {
  // A header has no other characters; the Worker would not receive them.
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error("This is not a key: a key begins with claw_.");
  const api = new Api(key);
  await api.call("GET", "/admin/v1/keys");
  const { id } = await api.call("GET", "/v1/key");
  session = new Session(id, api);
  showFrame();
  showView();
}

/** The part that the views share. */
class Session {
  #api;
  /** Called before the key is forgotten. */
  atEnd = new Set();

  constructor(id, api) {
    this.id = id;
    this.#api = api;
  }

  /** Calls the API as the administrator. A refused key ends the session. */
  call(method, path, body) {
    return this.#guard(this.#api.call(method, path, body));
  }

  /** Asks whether the gateway can be used. A gateway that cannot is no error of this request. */
  ready() {
    const ask = async () => {
      const response = await this.#api.send("GET", "/readyz");
      const body = await response
        .clone()
        .json()
        .catch(() => ({}));
      if (!body.status) throw await errorOf(response);
      return body;
    };
    return this.#guard(ask());
  }

  about() {
    return this.#api.call("GET", "/v1");
  }

  async #guard(work) {
    try {
      return await work;
    } catch (error) {
      if (this === session && (error.status === 401 || error.status === 403)) {
        const why = error.status === 401 ? "The key is no longer good." : error.message;
        signOut(`${why} You are signed out.`);
      }
      throw error;
    }
  }
}

function signOut(words) {
  for (const end of session?.atEnd ?? []) end();
  session = undefined;
  leave?.();
  leave = undefined;
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  history.replaceState(null, "", location.pathname);
  showSignIn(words);
}

function showFrame() {
  const links = Object.entries(VIEWS).map(([name, [title]]) =>
    el("li", {}, el("a", { href: `#${name}` }, title)),
  );
  header.replaceChildren(
    brand,
    el("nav", { "aria-label": "Views" }, el("ul", {}, links)),
    el(
      "div",
      { class: "account" },
      el("span", { class: "quiet" }, "Signed in as ", el("code", {}, session.id)),
      button("Sign out", () => {
        signOut();
        report("Signed out. This page has forgotten the key.");
      }),
    ),
  );
}

function showView() {
  if (!session) return;
  const wanted = location.hash.slice(1);
  if (wanted === "content") return content.focus();
  const name = Object.hasOwn(VIEWS, wanted) ? wanted : "keys";
  const [title, show] = VIEWS[name];
  for (const link of header.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${title} · Clawfront console`;
  leave?.();
  const heading = el("h1", { tabindex: "-1" }, title);
  const root = el("section", {});
  content.replaceChildren(root);
  leave = show({ root, heading, session });
  heading.focus();
}

addEventListener("hashchange", showView);
showSignIn();
