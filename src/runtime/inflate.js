// Inflates the bodies of requests, by the runtime's zlib.

/** The least size of a buffer that zlib accepts. */
const MIN_BYTES = 64;

/**
 * Inflates `data` into `out` and returns the number of bytes, or `undefined` if they are more than
 * `out` holds. Throws if `data` is malformed.
 */
export function inflate(data, isGzip, out) {
  // Not imported, because it would be loaded at each start, and few bodies are compressed.
  const { gunzipSync, inflateSync } = process.getBuiltinModule("node:zlib");
  const options = {
    chunkSize: Math.max(out.length, MIN_BYTES),
    maxOutputLength: Math.max(out.length, 1),
  };
  let inflated;
  try {
    inflated = (isGzip ? gunzipSync : inflateSync)(data, options);
    out.set(inflated);
    return inflated.length;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  } finally {
    // Frees the memory at once. Otherwise many bodies wait for the garbage collection.
    inflated?.buffer.transfer(0);
  }
}
