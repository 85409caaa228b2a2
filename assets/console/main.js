// Signs the operator in and out, and shows one view at a time. The key is in this page's memory:
// it is in no storage, in no address, and gone with the page.

import { Api } from "./api.js";
import { showAudit } from "./audit.js";
import { showChat } from "./chat.js";
import { box, button, el, errorPlace, keyInput, quiet, report } from "./dom.js";
import { submit } from "./form.js";
import { showHealth } from "./health.js";
import { showKeys } from "./keys.js";
import { showRuns } from "./runs.js";
import { showUsage } from "./usage.js";

const VIEWS = {
  keys: ["Keys", showKeys],
  runs: ["Runs", showRuns],
  usage: ["Usage", showUsage],
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
  const [input, field] = keyInput("Administrator's key", "key", { required: true });
  const signIn = async (event) => {
    await submit(event, place, () => begin(input.value.trim()));
    // The field is gone if that was a key of an administrator.
    input.focus();
  };
  content.replaceChildren(
    el(
      "form",
      { class: "card narrow stack", submit: signIn },
      el("h1", { tabindex: "-1" }, "Sign in"),
      el("p", {}, "Sign in with a key whose scope is ", el("code", {}, "admin"), "."),
      place,
      field,
      box("actions", el("button", { class: "main" }, "Sign in")),
      quiet("The key stays in the memory of this page. Nothing stores it: a reload forgets it."),
    ),
  );
  input.focus();
}

/** Begins a session if the key administers. */
async function begin(key) {
  const api = new Api(key);
  await api.call("GET", "/admin/v1/keys").catch((error) => {
    if (error.code === "missing_scope")
      error.message = "This key is good, but it is not an administrator's: its scopes lack admin.";
    throw error;
  });
  const { id } = await api.call("GET", "/v1/key");
  // `atEnd` is called before the key is forgotten.
  const begun = { id, atEnd: new Set() };
  begun.call = (...request) =>
    api.call(...request).catch((error) => {
      const why = { 401: "The key is no longer good.", 403: error.message }[error.status];
      if (why && begun === session) signOut(`${why} You are signed out.`);
      throw error;
    });
  session = begun;
  showFrame();
  showView();
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
    box(
      "account",
      quiet("Signed in as ", el("code", {}, session.id)),
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
    link.ariaCurrent = link.hash === `#${name}` ? "page" : null;
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
