// Sends requests to the Worker that has served this page, and to nobody else.

/** An error in the words of the API. */
export class ApiError extends Error {
  constructor(status, { message, code, param } = {}, requestId) {
    super(message ?? `The Worker answered with the status ${status}.`);
    Object.assign(this, { status, code, param, requestId });
  }
}

/** The key of one bearer, in memory only. */
export class Api {
  #key;

  constructor(key) {
    this.#key = key;
  }

  /** Sends a request and returns the response, whatever its status is. */
  async send(method, path, body, signal) {
    try {
      return await fetch(path, {
        method,
        signal,
        headers: {
          authorization: `Bearer ${this.#key}`,
          ...(body && { "content-type": "application/json" }),
        },
        body: body && JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, { message: "The Worker cannot be reached.", code: "no_connection" });
    }
  }

  /** Sends a request and returns the body of its response; an error is thrown. */
  async call(method, path, body) {
    const response = await this.send(method, path, body);
    if (!response.ok) throw await errorOf(response);
    return response.json();
  }
}

/** Reads the error of a response. */
export async function errorOf(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError(response.status, body.error, response.headers.get("x-request-id"));
}
