// Asks the gateway's HTTP endpoint for a run, and reads its stream.

import { beginning } from "./upgrade.js";

/** A request, which is sent at once. */
export class Asked {
  /** `headers` are names and values in turn; the last value of a name counts. */
  constructor(network, url, headers, body, maxRefusalBytes) {
    this.controller = new AbortController();
    this.maxRefusalBytes = maxRefusalBytes;
    const own = new Headers();
    for (let index = 0; index < headers.length; index += 2)
      own.set(headers[index], headers[index + 1]);
    this.response = network.fetch(url, {
      // A copy: `body` is a part of the memory, which changes before it is sent.
      ...{ method: "POST", headers: own, body: body.slice() },
      ...{ redirect: "manual", signal: this.controller.signal },
    });
    // It is read by `head`.
    this.response.catch(() => {});
  }

  /**
   * Returns the head of the response: a stream, or a refusal with the beginning of its body, or the
   * `error`.
   */
  async head() {
    try {
      const response = await this.response;
      const { status } = response;
      const header = (name) => response.headers.get(name) ?? "";
      const contentType = header("content-type");
      if (status === 200 && contentType.startsWith("text/event-stream")) {
        this.reader = response.body.getReader();
        return { status, isStream: true };
      }
      const body = await beginning(response, this.maxRefusalBytes);
      const retryAfter = Number.parseInt(header("retry-after"), 10) || 0;
      return { status, contentType, location: header("location"), body, retryAfter };
    } catch (error) {
      return { error: String(error) };
    }
  }

  /** Returns the next bytes; none after the end, or if the stream breaks. */
  async bytes() {
    try {
      return (await this.reader.read()).value;
    } catch {
      return undefined;
    }
  }

  /** Closes the request: the gateway stops the run. */
  stop() {
    this.controller.abort();
  }
}
