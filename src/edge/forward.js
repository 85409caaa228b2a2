// Hands a request on to the hub, and its response to the client.

/** Asks the hub. Each call takes a new stub, because one that has failed stays useless. */
export function ask(namespace, location, request) {
  const options = location ? { locationHint: location } : {};
  return namespace.getByName(HUB_NAME, options).fetch(request);
}

/** There is one hub for each gateway, and one gateway for each deployment. */
const HUB_NAME = "hub";

/**
 * Returns the response without the headers that are for the edge alone. A body that breaks off ends
 * in `lost` instead, if there is any. The bytes are piped by the runtime: reading them here would
 * double their cost.
 */
export function handOn(response, own, lost, requestId) {
  const { body } = response;
  // As it is, with its length, if nothing of it changes.
  if (lost.length === 0 && !own.some((name) => response.headers.has(name))) return response;
  let handed = body;
  if (body && lost.length > 0) {
    const { readable, writable } = new IdentityTransformStream();
    handed = readable;
    body
      .pipeTo(writable, { preventAbort: true, preventClose: true })
      .then(
        () => writable.close(),
        async () => {
          const writer = writable.getWriter();
          // It fails if the client has left, and then nothing was lost.
          await writer.write(lost);
          await writer.close();
          console.error(JSON.stringify({ request_id: requestId, end: "hub_lost" }));
        },
      )
      .catch(() => {});
  }
  const headers = new Headers(response.headers);
  for (const name of own) headers.delete(name);
  return new Response(handed, { status: response.status, headers });
}
