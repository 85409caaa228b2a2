// Runs in the page that the browser opens. It gets its tasks from its own server, does them with
// the SDK across origins, and reports the results.

import { openaiAdapter } from "./openai-adapter.mjs";

const options = { dangerouslyAllowBrowser: true, maxRetries: 0 };

const methods = {
  models: ({ baseURL, key }) => openaiAdapter({ baseURL, key, options }).models(),
  ask: ({ baseURL, key, fields }) => openaiAdapter({ baseURL, key, options }).ask(fields),
  /** The headers of a response that the page may read. */
  headers: async ({ url, key }) => {
    const response = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
    return [...response.headers.keys()].sort();
  },
  /** The text that a module writes into the page. */
  show: async ({ url }) => {
    document.body.textContent = "";
    await import(url);
    return document.body.textContent;
  },
};

async function work() {
  for (;;) {
    const response = await fetch("/next");
    // Nothing to do for the moment.
    if (response.status === 204) continue;
    const { number, method, fields } = await response.json();
    methods[method](fields).then(
      (answer) => report({ number, answer }),
      (error) =>
        report({
          number,
          error: { name: error.constructor.name, status: error.status, message: error.message },
        }),
    );
  }
}

const report = (result) => fetch("/done", { method: "POST", body: JSON.stringify(result) });

work();
