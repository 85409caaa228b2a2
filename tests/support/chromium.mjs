// Drives a headless Chromium by its DevTools protocol: real clicks and keys, and everything that a
// page requests, reports or stores.

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser } from "../../scripts/clients.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";
import { until } from "./front.mjs";

/** Chromium takes a second; a busy machine takes longer. */
const START_LIMIT_MS = 60_000;

/** Longest wait for an answer or a state of a page: a busy machine is slow. */
const LIMIT_MS = 15_000;

/** Starts a browser: `{ open, close }`. `open` resolves to a page of its own context. */
export async function startChromium() {
  const { command, env } = browser();
  const profile = mkdtempSync(join(tmpdir(), "clawfront-chromium-"));
  const fonts = join(profile, "fonts.conf");
  if (env.FONTCONFIG_PATH) writeFileSync(fonts, fontsOf(join(env.FONTCONFIG_PATH, "fonts")));
  // Its sandbox needs rights that containers do not have; it shows only our own pages.
  const flags = [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"],
    ...["--disable-background-networking", "--remote-debugging-port=0"],
    `--user-data-dir=${profile}`,
  ];
  const child = start(command, [...flags, "about:blank"], {
    env: env.FONTCONFIG_PATH ? { ...env, FONTCONFIG_FILE: fonts } : env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const output = [];
  const address = new Promise((resolve) =>
    collect(child.stderr, (line) => {
      output.push(line);
      const [, url] = line.match(/^DevTools listening on (ws:\S+)$/) ?? [];
      if (url) resolve(url);
    }),
  );
  const limit = new Promise((resolve) => setTimeout(resolve, START_LIMIT_MS).unref());
  const url = await Promise.race([address, child.ended, limit]);
  if (typeof url !== "string") throw new Error(`Chromium did not start:\n${output.join("\n")}`);
  const socket = new WebSocket(url);
  await once(socket, "open");
  const protocol = protocolOf(socket);
  return {
    open: (options) => openPage(protocol, options),
    close: async () => {
      socket.close();
      await stop(child);
      await child.ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * Returns a configuration that has the fonts of the browser's package, and the system's for code.
 * The package's own names folders of another machine, and without a font nothing has a size.
 */
const fontsOf = (folder) => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${folder}</dir>
  <dir>/usr/share/fonts</dir>
  <alias binding="same"><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
  <alias binding="same"><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
  <alias binding="same">
    <family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer>
  </alias>
</fontconfig>
`;

/** Sends commands of the protocol and hands on its events, for each session. */
function protocolOf(socket) {
  const waiting = new Map();
  const listeners = new Map();
  let count = 0;
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error, method, params, sessionId } = JSON.parse(data);
    if (id === undefined) return listeners.get(sessionId)?.(method, params);
    const { resolve, reject, name } = waiting.get(id) ?? {};
    if (!waiting.delete(id)) return;
    if (error) reject(new Error(`${name}: ${error.message}`));
    else resolve(result);
  });
  return {
    listen: (sessionId, listener) => listeners.set(sessionId, listener),
    send: (name, params = {}, sessionId = undefined) =>
      new Promise((resolve, reject) => {
        count += 1;
        const id = count;
        waiting.set(id, { resolve, reject, name });
        socket.send(JSON.stringify({ id, method: name, params, sessionId }));
        const giveUp = () => waiting.delete(id) && reject(new Error(`${name} has no answer`));
        setTimeout(giveUp, LIMIT_MS).unref();
      }),
  };
}

async function openPage(protocol, { width = 1280, height = 800, scheme = "light", url }) {
  const { browserContextId } = await protocol.send("Target.createBrowserContext");
  const { targetId } = await protocol.send("Target.createTarget", {
    url: "about:blank",
    browserContextId,
  });
  const { sessionId } = await protocol.send("Target.attachToTarget", { targetId, flatten: true });
  const send = (name, params) => protocol.send(name, params, sessionId);
  const seen = { requests: [], problems: [] };
  protocol.listen(sessionId, (method, params) => {
    if (method === "Network.requestWillBeSent") seen.requests.push(params.request.url);
    if (method === "Runtime.exceptionThrown")
      seen.problems.push(params.exceptionDetails.exception?.description);
    if (method === "Log.entryAdded" && !isExpected(params.entry))
      seen.problems.push(`${params.entry.source}: ${params.entry.text}`);
    if (method === "Audits.issueAdded") seen.problems.push(JSON.stringify(params.issue));
  });
  for (const domain of ["Page", "Runtime", "Network", "Log", "DOM", "Accessibility"])
    await send(`${domain}.enable`);
  const page = new Page(send, seen);
  await page.show({ width, height, scheme });
  await send("Page.navigate", { url });
  return page;
}

/** A refused request is an entry of the log, whatever the page does about it. */
const isExpected = ({ source, text }) =>
  source === "network" && /the server responded with a status of/.test(text);

/** One page, used as a person would: by what is visible and by the keyboard. */
class Page {
  constructor(send, seen) {
    this.send = send;
    this.seen = seen;
  }

  /** Sets the size of the window and the colour scheme of the system. */
  async show({ width, height = 800, scheme = "light" }) {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 500 };
    await this.send("Emulation.setDeviceMetricsOverride", metrics);
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.send("Emulation.setEmulatedMedia", { features });
  }

  /** Evaluates an expression in the page and returns its value. */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      ...{ expression, awaitPromise: true, returnByValue: true },
    });
    if (exceptionDetails)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  text() {
    return this.evaluate("document.body?.innerText ?? ''");
  }

  html() {
    return this.evaluate("document.documentElement.outerHTML");
  }

  /** Waits until the page shows a text. */
  sees(text) {
    return this.#until(`the page shows ${text}`, async () =>
      text instanceof RegExp ? text.test(await this.text()) : (await this.text()).includes(text),
    );
  }

  async #until(what, probe) {
    try {
      return await until(what, probe, LIMIT_MS);
    } catch (error) {
      throw new Error(`${error.message}; it shows:\n${await this.text()}`);
    }
  }

  /** Waits until an expression is true in the page. */
  holds(expression) {
    return this.#until(expression, () => this.evaluate(`Boolean(${expression})`));
  }

  /**
   * Finds a control by its role and its whole accessible name, as a screen reader does.
   * Returns the browser's id of it.
   */
  async find(role, name) {
    const find = async () => {
      const { root } = await this.send("DOM.getDocument");
      const query = { nodeId: root.nodeId, role, accessibleName: name };
      // The document is replaced while the page loads.
      const { nodes } = await this.send("Accessibility.queryAXTree", query).catch(() => ({
        nodes: [],
      }));
      return nodes.find(({ ignored }) => !ignored)?.backendDOMNodeId;
    };
    return this.#until(`there is a ${role} ${name}`, find);
  }

  /** Clicks at the middle of a control. */
  async click(role, name) {
    const backendNodeId = await this.find(role, name);
    await this.send("DOM.scrollIntoViewIfNeeded", { backendNodeId });
    const { quads } = await this.send("DOM.getContentQuads", { backendNodeId });
    const [x1, y1, , , x2, y2] = quads[0];
    const at = { x: (x1 + x2) / 2, y: (y1 + y2) / 2, button: "left", clickCount: 1 };
    for (const type of ["mousePressed", "mouseReleased"])
      await this.send("Input.dispatchMouseEvent", { type, ...at });
  }

  /** Replaces the text of a field by typing. */
  async type(name, text, role = "textbox") {
    await this.send("DOM.focus", { backendNodeId: await this.find(role, name) });
    await this.evaluate("document.activeElement.select()");
    if (text === "") await this.press("Backspace");
    else await this.send("Input.insertText", { text });
  }

  /** Chooses an option of a list. */
  async choose(name, value) {
    const backendNodeId = await this.find("combobox", name);
    const { object } = await this.send("DOM.resolveNode", { backendNodeId });
    const choose = `function (value) {
      this.value = value;
      this.dispatchEvent(new Event("change", { bubbles: true }));
    }`;
    const call = { objectId: object.objectId, functionDeclaration: choose };
    await this.send("Runtime.callFunctionOn", { ...call, arguments: [{ value }] });
  }

  /** Presses a key. */
  async press(key) {
    const codes = { Tab: 9, Enter: 13, Escape: 27, Backspace: 8, " ": 32 };
    const event = { key, code: key, windowsVirtualKeyCode: codes[key] };
    const text = key === "Enter" ? "\r" : undefined;
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event, text });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Returns a picture of the window as PNG. */
  async picture() {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }
}
