// Opens the gateway's WebSocket.

/**
 * Asks for the upgrade over `network`, within `limitMs` from the connection to the end of a refusal:
 * a body without an end must not hold the request. `headers` are names and values in turn. Returns
 * the `socket`, which is not accepted yet, so that no frame is lost before there is a listener; or
 * the refusal with the beginning of its body; or the `error`.
 */
export async function open(network, url, headers, limitMs, maxBodyBytes) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), limitMs);
  try {
    const own = new Headers({ upgrade: "websocket" });
    for (let index = 0; index < headers.length; index += 2)
      own.set(headers[index], headers[index + 1]);
    const response = await network.fetch(url, {
      headers: own,
      redirect: "manual",
      signal: controller.signal,
    });
    const { status, webSocket } = response;
    if (status === 101 && webSocket) return { socket: webSocket };
    const header = (name) => response.headers.get(name) ?? "";
    return {
      status,
      location: header("location"),
      contentType: header("content-type"),
      body: status === 101 ? new Uint8Array() : await beginning(response, maxBodyBytes),
    };
  } catch (error) {
    return { isLate: controller.signal.aborted, error: String(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the beginning of a refusal's body, which gives the reason. */
export async function beginning({ body }, maxBytes) {
  const reader = body?.getReader();
  const bytes = [];
  while (reader && bytes.length < maxBytes) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) break;
    bytes.push(...value.subarray(0, maxBytes - bytes.length));
  }
  // The rest of the body is not needed.
  reader?.cancel().catch(() => {});
  return new Uint8Array(bytes);
}
