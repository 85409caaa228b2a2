// Asks the gateway for a file, over its HTTP route for media of an assistant.

/** The highest number of bytes that is returned: 32 bits. */
const MAX_LENGTH = 2 ** 32 - 1;

/** Time until there is a response. */
const LIMIT_MS = 10_000;

/**
 * Asks over `network`. `query` and `headers` are names and values in turn; the last value of a
 * name counts. Returns the parts of the response, or the `error`.
 */
export async function ask(network, url, query, headers, method) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), LIMIT_MS);
  const pairs = (list) =>
    list.flatMap((name, index) => (index % 2 ? [] : [[name, list[index + 1]]]));
  try {
    const address = `${url}?${new URLSearchParams(pairs(query))}`;
    const init = { method, redirect: "manual", signal: controller.signal };
    const own = Object.fromEntries(pairs(headers));
    const { status, headers: got, body } = await network.fetch(address, { ...init, headers: own });
    return {
      status,
      // A proxy's page has no name. What has no length may have no end.
      isFile: got.has("content-disposition") && got.has("content-length"),
      location: got.get("location") ?? "",
      contentType: got.get("content-type") ?? "",
      length: Math.min(Number(got.get("content-length")), MAX_LENGTH),
      range: got.get("content-range") ?? undefined,
      // A body of no use is not read.
      body: status < 300 && method === "GET" ? body : undefined,
    };
  } catch (error) {
    return { isLate: controller.signal.aborted, error: String(error) };
  } finally {
    clearTimeout(timer);
  }
}
