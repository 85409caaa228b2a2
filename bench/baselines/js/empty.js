// Answers every request with nothing, so that the start of the runtime itself is measured.

export default { fetch: () => new Response("ok") };
