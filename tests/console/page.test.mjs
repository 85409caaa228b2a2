// Tests the console in Chromium, against the Worker in workerd and a simulated gateway.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { CLIENTS } from "../../scripts/clients.mjs";
import { admin, createKey, startAdminFront } from "../support/admin.mjs";
import { startChromium } from "../support/chromium.mjs";
import { post, says, until } from "../support/front.mjs";

const require = createRequire(join(CLIENTS, "package.json"));
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** A label that a page would run, or turn around, if it took it for more than text. */
const HOSTILE = "<img src=x onerror=alert(1)> \u0645\u0631\u062D &lt";
const LONG = "W".repeat(60);

describe("the console", () => {
  let front, chromium, page;
  before(async () => {
    front = await startAdminFront({ withConsole: true });
    chromium = await startChromium();
    page = await chromium.open({ url: `${front.worker.url}/console/` });
  });
  after(async () => {
    await chromium?.close();
    await front?.stop();
  });

  // A failed test leaves its dialog open.
  beforeEach(() =>
    page.evaluate("document.querySelectorAll('dialog').forEach((dialog) => dialog.close())"),
  );

  const manage = async (...call) => (await admin(front.worker, front.ops, ...call)).body;
  const short = says("hi [[fake deltas=1]]");
  const ask = async (key) => (await post(front.worker, { key }, short)).status;
  const signIn = async (key = front.ops.key) => {
    await page.type("Administrator's key", key);
    await page.click("button", "Sign in");
  };

  test("a key that does not administer is refused with words", async () => {
    await page.sees("Sign in with a key");
    await signIn("not a key");
    await page.sees("This is not a key");
    await signIn("claw_nobody_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    await page.sees("Code invalid_api_key");
    await signIn(front.phone.key);
    await page.sees("it is not an administrator's");
    await page.sees(/Code missing_scope · Request [0-9a-f]{32}/);
  });

  test("an administrator signs in, and sees that there is no key", async () => {
    await signIn();
    await page.sees("The hub has no key yet.");
    await page.sees("Signed in as ops");
    assert.equal(await page.evaluate("document.activeElement.textContent"), "Keys");
  });

  test("a new key is shown once, and chats at once", async () => {
    await page.click("button", "New key");
    await page.type("Name", "tablet");
    await page.type("Label", "Zoë's tablet");
    await page.type("Agents", "main");
    await page.click("button", "Make the key");
    await page.sees("This is the only time");
    const key = await page.evaluate("document.querySelector('#copy-key').value");
    assert.match(key, /^claw_tablet_[a-z2-7]{32}$/);
    assert.equal(await ask(key), 200);
    assert.equal(
      await page.evaluate("document.querySelector('#copy-base-url').value"),
      `${front.worker.url}/v1`,
    );
    await page.find("image", "QR code with the base URL, the key and the model");
    await page.click("button", "Copy key");
    await page.sees(/Key copied|copy it with the keyboard/);
    await page.click("button", "Done");
    await page.holds("!document.querySelector('dialog')");
    await page.sees("Zoë's tablet");
    await page.sees("Active");
    await page.click("button", "Refresh");
    await page.sees(/last \d{4}-\d\d-\d\d \d\d:\d\d/);
    assert.ok(!(await page.html()).includes(key));
  });

  test("a refused field is named, and its control has the focus", async () => {
    await page.click("button", "New key");
    await page.type("Name", "second");
    await page.type("Agents", "main");
    await page.type("Expires", "tomorrow");
    await page.click("button", "Make the key");
    await page.sees("Code invalid_request");
    assert.equal(await page.evaluate("document.activeElement.id"), "field-expires");
    await page.press("Escape");
    await page.holds("!document.querySelector('dialog')");
    assert.equal((await manage("GET", "/keys")).data.length, 1);
  });

  test("changed fields are sent, and no others", async () => {
    await createKey(front, "edited", { requests_per_minute: 30, expires: "2027-06-30" });
    await page.click("button", "Refresh");
    await page.sees("until 2027-06-30");
    await page.click("button", "Edit edited");
    await page.type("Label", HOSTILE);
    await page.type("Expires", "");
    await page.click("button", "Save");
    await page.holds("!document.querySelector('dialog')");
    const { label, expires, requests_per_minute } = await manage("GET", "/keys/edited");
    assert.deepEqual([label, expires, requests_per_minute.limit], [HOSTILE, null, 30]);
    await page.click("button", "Edit edited");
    await page.click("button", "Save");
    await page.sees("Nothing was changed.");
  });

  test("labels of any kind are text", async () => {
    await manage("POST", "/keys/edited", { label: HOSTILE });
    await createKey(front, "long", { label: LONG });
    await page.click("button", "Refresh");
    await page.sees("<img src=x onerror=alert(1)>");
    await page.sees(LONG.slice(0, 30));
    assert.equal(await page.evaluate("document.querySelectorAll('img').length"), 0);
    await page.click("button", "Edit edited");
    await page.sees("Change edited");
    await page.press("Escape");
    await page.holds("!document.querySelector('dialog')");
  });

  test("a key is disabled and enabled", async () => {
    const { key } = await createKey(front, "paused");
    await page.click("button", "Refresh");
    await page.click("button", "Disable paused");
    await page.sees("Disabled");
    assert.equal(await ask(key), 401);
    assert.equal(await page.evaluate("document.activeElement.ariaLabel"), "Enable paused");
    await page.click("button", "Enable paused");
    await page.sees("The key paused is enabled.");
    assert.equal(await ask(key), 200);
  });

  test("a rotated key has two texts until the overlap ends", async () => {
    const { key: first } = await createKey(front, "rotated");
    await page.click("button", "Refresh");
    const rotate = async (overlap) => {
      await page.click("button", "Rotate rotated");
      await page.choose("The present text ends", overlap);
      await page.click("button", "Make a new key");
      await page.sees("This is the only time");
      const key = await page.evaluate("document.querySelector('#copy-key').value");
      await page.click("button", "Done");
      await page.holds("!document.querySelector('dialog')");
      return key;
    };
    const second = await rotate("3600");
    await page.sees("the old text until");
    assert.deepEqual([await ask(first), await ask(second)], [200, 200]);
    const third = await rotate("0");
    assert.deepEqual([await ask(first), await ask(second), await ask(third)], [401, 401, 200]);
  });

  test("a revoked key is gone after it was confirmed, by the keyboard alone", async () => {
    const { key } = await createKey(front, "lost");
    await page.click("button", "Refresh");
    await page.click("button", "Revoke lost");
    await page.sees("Revoke lost?");
    assert.equal(await page.evaluate("document.activeElement.textContent"), "Cancel");
    await page.press("Enter");
    await page.holds("!document.querySelector('dialog')");
    assert.equal(await ask(key), 200);
    await page.click("button", "Revoke lost");
    await page.find("button", "Revoke");
    await page.click("button", "Revoke");
    await page.sees("The key lost is revoked.");
    assert.equal(await ask(key), 401);
    await page.holds("!document.querySelector('main').innerText.includes('lost')");
  });

  describe("runs", () => {
    const LONG_RUN = says("hi [[fake deltas=4000 delay=20]]", { stream: true });
    const { evaluate, requests } = {
      evaluate: (...call) => page.evaluate(...call),
      requests: () => page.seen.requests.filter((url) => url.endsWith("/admin/v1/runs")).length,
    };
    const cells = () =>
      evaluate("[...document.querySelectorAll('td')].map((cell) => cell.innerText)");
    const aborted = async () =>
      (await front.sim.journal()).runs.filter(({ ended }) => ended === "aborted").length;
    let stream, body, run;

    test("a run is shown without a click, while it goes on", async () => {
      await page.click("link", "Runs");
      await page.sees("Nothing runs now.");
      stream = await post(front.worker, front.phone, LONG_RUN);
      body = stream.text();
      await page.sees("1 run now.");
      run = await until("it runs", async () => {
        const [first] = (await manage("GET", "/runs")).data;
        return first?.state === "running" && first;
      });
      await page.sees("running");
      const [id, key, agent, state, since] = await cells();
      assert.deepEqual(
        [id, key, agent, state],
        [
          `${run.id.slice(0, 12)}\n\nsession ${run.session}`,
          "phone",
          "main",
          "running\n\n1 client",
        ],
      );
      assert.match(since, /^20\d\d-\d\d-\d\d \d\d:\d\d$/);
      assert.equal(await evaluate("document.querySelector('td code').title"), run.id);
    });

    test("the list stays as it is while nothing has changed, and is old in a hidden window", async () => {
      await evaluate("void (document.querySelector('td').isTheSame = true)");
      const before = requests();
      await until("it was renewed", () => requests() > before + 1);
      assert.equal(await evaluate("document.querySelector('td').isTheSame"), true);
      const hide = (is) =>
        evaluate(`Object.defineProperty(document, "hidden", { value: ${is}, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"))`);
      await hide(true);
      const hidden = requests();
      await new Promise((resolve) => setTimeout(resolve, 7000));
      assert.equal(requests(), hidden);
      await hide(false);
      await until("it is renewed at once", () => requests() > hidden, 2000);
      await page.click("link", "Audit");
      await page.sees("Time (UTC)");
      const left = requests();
      await new Promise((resolve) => setTimeout(resolve, 7000));
      assert.equal(requests(), left);
      await page.click("link", "Runs");
      await page.sees("1 run now.");
    });

    test("axe finds nothing serious, and nothing is wider than a phone", async () => {
      for (const size of [{ width: 360, height: 740, scheme: "dark" }, { width: 1280 }]) {
        await page.show(size);
        assert.deepEqual(await serious(), []);
        assert.ok(await fits());
      }
    });

    test("a run is stopped after it was confirmed, by the keyboard alone", async () => {
      const name = run.id.slice(0, 12);
      const before = await aborted();
      const focus = async () => {
        await page.send("DOM.focus", { backendNodeId: await page.find("button", `Stop ${name}`) });
        await page.press("Enter");
        await page.sees(`Stop the run ${name}?`);
      };
      await focus();
      assert.equal(await evaluate("document.activeElement.textContent"), "Cancel");
      await page.press("Enter");
      await page.holds("!document.querySelector('dialog')");
      assert.equal(await evaluate("document.activeElement.ariaLabel"), `Stop ${name}`);
      assert.equal((await manage("GET", "/runs")).data.length, 1);
      await focus();
      assert.deepEqual(await serious(), [], "the dialog");
      await page.click("button", "Stop");
      await page.sees("The run is stopped.");
      await page.sees("Nothing runs now.");
      assert.equal(await evaluate("document.activeElement.textContent"), "Runs");
      assert.match(await body, /"code":"run_aborted"/);
      await until("the gateway has stopped it", async () => (await aborted()) === before + 1);
    });

    test("ids of any kind are text", async () => {
      const hostile = { id: HOSTILE, key: HOSTILE, agent: HOSTILE, session: HOSTILE };
      const data = [
        { ...hostile, state: HOSTILE, created_at: 0, clients: 0, can_be_stopped: true },
        { ...hostile, id: LONG, state: "running", created_at: 0, clients: 2 },
      ];
      await evaluate(`window.kept = fetch;
        window.asked = [];
        window.fetch = (...call) => {
          window.asked.push(call[0]);
          return Promise.resolve(Response.json(${JSON.stringify({ data })}));
        }; undefined`);
      await page.sees("This gateway cannot stop it.");
      await page.sees("no client");
      assert.equal(await evaluate("document.querySelectorAll('img').length"), 0);
      assert.deepEqual((await cells()).slice(1, 3), [HOSTILE, HOSTILE]);
      assert.ok(await fits());
      await page.click("button", `Stop ${HOSTILE.slice(0, 12)}`);
      await page.click("button", "Stop");
      await page.holds("!document.querySelector('dialog')");
      const asked = await evaluate("window.fetch = window.kept, window.asked");
      assert.ok(asked.includes(`/admin/v1/runs/${encodeURIComponent(HOSTILE)}/stop`), `${asked}`);
      await page.sees("Nothing runs now.");
    });
  });

  test("usage has a bar for each day, and a row for each key and agent", async () => {
    const counted = (await manage("GET", "/usage")).data;
    const sum = (member, of = () => true) =>
      counted.filter(of).reduce((all, entry) => all + entry[member], 0);
    const tokens = sum("input_tokens") + sum("output_tokens");
    await page.click("link", "Usage");
    await page.sees(`${tokens.toLocaleString("en")} tokens in 7 days`);
    const bars = () =>
      page.evaluate("[...document.querySelectorAll('rect')].map((bar) => bar.textContent)");
    const today = new Date().toISOString().slice(0, 10);
    assert.equal((await bars()).length, 7);
    assert.equal((await bars()).at(-1), `${today}: ${tokens.toLocaleString("en")} tokens`);
    await page.find("image", `Tokens by day; most are ${tokens.toLocaleString("en")}`);
    const rows = await page.evaluate(
      "[...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((c) => c.innerText.split('\\n')[0]))",
    );
    const named = new Set(counted.map(({ key, agent }) => `${key} ${agent ?? "none"}`));
    assert.deepEqual(new Set(rows.map(([key, agent]) => `${key} ${agent}`)), named);
    const tablet = rows.find(([key]) => key === "tablet");
    assert.equal(tablet[3], String(sum("runs", ({ key }) => key === "tablet")));
    await page.choose("Period", "92");
    await page.sees("in 92 days");
    assert.equal((await bars()).length, 92);
  });

  test("the audit has every change, and can be searched", async () => {
    await page.click("link", "Audit");
    await page.sees("Time (UTC)");
    await page.type("Key or actor", "lost", "searchbox");
    await page.sees("2 changes");
    const cells = await page.evaluate(
      "[...document.querySelectorAll('td')].map((c) => c.innerText)",
    );
    assert.deepEqual(
      [cells.slice(1, 4), cells.slice(5, 8)],
      [
        ["ops", "revoked", "lost"],
        ["ops", "made", "lost"],
      ],
    );
  });

  test("the health is that of the gateway, with cause and fix", async () => {
    await page.click("link", "Health");
    await page.sees("Ready The gateway answers.");
    await page.sees("3 agents");
  });

  for (const [name, size] of [
    ["a window", { width: 1280 }],
    ["a phone", { width: 360, height: 740 }],
  ])
    for (const scheme of ["light", "dark"])
      test(`axe finds nothing serious on ${name}, ${scheme}, and nothing is wider than it`, async () => {
        await page.show({ ...size, scheme });
        for (const view of ["Keys", "Runs", "Usage", "Audit", "Health", "Try an agent"]) {
          await page.click("link", view);
          await page.holds(`document.querySelector('h1').textContent === ${JSON.stringify(view)}`);
          await until("it is loaded", () =>
            page.evaluate("document.querySelectorAll('main *').length > 7"),
          );
          assert.deepEqual(await serious(), [], view);
          assert.ok(await fits(), view);
        }
        await page.click("link", "Keys");
        await page.click("button", "New key");
        assert.deepEqual(await serious(), [], "the form");
        assert.ok(await fits(), "the form");
        await page.press("Escape");
        await page.holds("!document.querySelector('dialog')");
        await page.show({ width: 1280 });
      });

  const fits = () =>
    page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
  const serious = async () => {
    await page.evaluate(`${axe}; undefined`);
    const found = await page.evaluate(`axe.run(document, { resultTypes: ["violations"] })
      .then(({ violations }) => violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => [id, nodes.map(({ html }) => html).slice(0, 3)]))`);
    return found;
  };

  test("a conversation has a key of its own, streams, stops and shows errors", async () => {
    await page.click("link", "Try an agent");
    await page.type("Agents", "main");
    await page.click("button", "Make it and begin");
    await page.type("Message", "hi [[fake deltas=3]]");
    await page.click("button", "Send");
    await page.sees("w0 w1 w2");
    await page.sees("The answer is complete");
    const made = (await manage("GET", "/keys")).data.find(({ id }) => id.startsWith("console-"));
    assert.deepEqual([made.scopes, made.agents], [["chat", "models"], ["main"]]);
    const life = Date.parse(made.expires) - Date.now();
    assert.ok(life > 3_500_000 && life <= 3_600_000, `${life}`);

    await front.sim.reset();
    await page.type("Message", "hi [[fake deltas=2000 delay=20]]");
    await page.press("Enter");
    await page.sees("w5");
    await page.click("button", "Stop");
    await page.sees("You stopped this answer.");
    await until(
      "the run is stopped",
      async () => (await front.sim.journal()).runs[0].ended === "aborted",
    );

    await page.type("Message", "hi [[fake deltas=4 streamerror=2]]");
    await page.press("Enter");
    await page.sees(/Code \w+ · Request [0-9a-f]{32}/);

    await page.click("button", "End the conversation");
    await page.sees("With a key that you have");
    await until("its key is revoked", async () =>
      (await manage("GET", "/keys")).data.every(({ id }) => id !== made.id),
    );
  });

  test("a conversation can have a key that its user gives, and a bad one ends no session", async () => {
    await page.type("Client key", "claw_nobody_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    await page.click("button", "Begin");
    await page.sees("Code invalid_api_key");
    await page.sees("Signed in as ops");
    await page.type("Client key", front.phone.key);
    await page.click("button", "Begin");
    await page.choose("Model", "openclaw/beta");
    await page.type("Message", "hi [[fake deltas=2]]");
    await page.press("Enter");
    await page.sees("The answer is complete");
    const { runs } = await front.sim.journal();
    assert.equal(runs.at(-1).sessionKey.split(":")[1], "beta");
    await page.click("button", "End the conversation");
    await page.sees("With a key that you have");
  });

  test("after a sign-out the key is nowhere, and a key that was made for a conversation is revoked", async () => {
    await page.type("Agents", "main");
    await page.click("button", "Make it and begin");
    await page.find("textbox", "Message");
    await page.click("button", "Sign out");
    await page.sees("Sign in with a key");
    await until("its key is revoked", async () =>
      (await manage("GET", "/keys")).data.every(({ id }) => !id.startsWith("console-")),
    );
    const kept = await page.evaluate(`Promise.all([
      JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage }), document.cookie,
      location.href, JSON.stringify(history.state), document.documentElement.outerHTML,
      [...document.querySelectorAll("input")].map(({ value }) => value).join(),
      indexedDB.databases().then(JSON.stringify), caches.keys().then(JSON.stringify),
    ])`);
    assert.ok(kept.every((text) => !text?.includes("claw_ops") && !text?.includes(front.ops.key)));
    assert.deepEqual(kept.slice(0, 3), ["{}", "{}", ""]);
    assert.deepEqual(kept.slice(7), ["[]", "[]"]);
  });

  test("a key that is revoked meanwhile signs out with words", async () => {
    const second = await manage("POST", "/keys", { id: "second-ops", scopes: ["admin"] });
    await signIn(second.key);
    await page.sees("Signed in as second-ops");
    await manage("DELETE", "/keys/second-ops");
    await page.click("button", "Refresh");
    await page.sees("The key is no longer good. You are signed out.");
    await page.sees("Sign in with a key");
  });

  test("nothing was requested elsewhere, and nothing was refused by the page's policy", () => {
    const others = page.seen.requests.filter((url) => !url.startsWith(`${front.worker.url}/`));
    assert.ok(page.seen.requests.length > 50);
    assert.deepEqual(others, []);
    assert.deepEqual(page.seen.problems, []);
  });

  test("a gateway that is away is named with its cause and the fix", async () => {
    await signIn();
    await page.sees("Signed in as ops");
    await front.sim.stop();
    await page.click("link", "Health");
    await page.holds("document.querySelector('h1').textContent === 'Health'");
    await until("the last question is old", async () => {
      await page.click("button", "Refresh");
      return (await page.text()).includes("Not ready");
    });
    await page.sees("Cause");
    await page.sees("Fix");
  });
});
