// Sends requests to the Worker that has served this page, and to nobody else.

/** An error in the words of the API. */
export class ApiError extends Error {
  constructor(response, { message, code, param } = {}) {
    super(message ?? `The Worker answered with the status ${response.status}.`);
    const requestId = response?.headers.get("x-request-id");
    Object.assign(this, { status: response?.status, code, param, requestId });
  }
}

/** The key of one bearer, in memory only. */
export class Api {
  #key;

  constructor(key) {
    // A header has no other characters; the Worker would not receive them.
    if (!/^[\x21-\x7e]+$/.test(key)) throw new Error("This is not a key: a key begins with claw_.");
    this.#key = key;
  }

  /** Sends a request and returns the response. An error that the Worker answers with is thrown. */
  async send(method, path, body, signal) {
    const headers = { authorization: `Bearer ${this.#key}` };
    if (body) headers["content-type"] = "application/json";
    const options = { cache: "no-store", credentials: "omit", redirect: "error", signal };
    let response;
    try {
      response = await fetch(path, { method, headers, body: JSON.stringify(body), ...options });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      const code = "no_connection";
      throw new ApiError(undefined, { message: "The Worker cannot be reached.", code });
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    // The state of a gateway that cannot be used is an answer, too.
    if (answer.status) return Response.json(answer);
    throw new ApiError(response, answer.error);
  }

  /** Sends a request and returns the body of its response. */
  async call(method, path, body) {
    const response = await this.send(method, path, body);
    return response.json();
  }
}
