// Asks the gateway's HTTP endpoint for a run, and reads its stream.

import { beginning } from "./upgrade.js";

/** A request over `network`. */
export class Asked {
  /**
   * `on` is called with each event: the head of a stream (`isStream`), its `bytes`, its end, a
   * refusal with the beginning of its body, or the `error` without a response.
   */
  constructor(network, maxRefusalBytes, on) {
    Object.assign(this, { network, maxRefusalBytes, on, controller: new AbortController() });
  }

  /**
   * Sends it after `before`, a promise or nothing, unless it was stopped. If that fails, the object
   * is reset, and no event comes. `headers` are names and values in turn; the last value of a name
   * counts.
   */
  send(url, headers, body, before) {
    const { network, on, controller } = this;
    const { signal } = controller;
    // A copy: `body` is a part of the memory, which changes before it is sent.
    const init = { method: "POST", body: body.slice(), redirect: "manual", signal };
    // Asynchronous, so that no event comes while the caller is at work, also if it throws.
    const ask = async () => {
      const own = new Headers();
      for (let index = 0; index < headers.length; index += 2)
        own.set(headers[index], headers[index + 1]);
      return network.fetch(url, { ...init, headers: own });
    };
    const give = (event) => signal.aborted || on(event);
    Promise.resolve(before).then(
      () => signal.aborted || read(ask, this.maxRefusalBytes, give),
      () => {},
    );
  }

  /** Closes the request: the gateway stops the run. No event follows. */
  stop() {
    this.controller.abort();
  }
}

async function read(ask, maxRefusalBytes, on) {
  let reader;
  try {
    const response = await ask();
    const { status } = response;
    const header = (name) => response.headers.get(name) ?? "";
    const contentType = header("content-type");
    if (status !== 200 || !contentType.startsWith("text/event-stream")) {
      const body = await beginning(response, maxRefusalBytes);
      const retryAfter = Number.parseInt(header("retry-after"), 10) || 0;
      return on({ status, contentType, location: header("location"), body, retryAfter });
    }
    reader = response.body.getReader();
    on({ isStream: true });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      on({ bytes: value });
    }
    on({});
  } catch (error) {
    // A stream that breaks has ended, too.
    on(reader ? {} : { error: String(error) });
  }
}
