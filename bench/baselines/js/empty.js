// Answers, and that is all: what the runtime's own start takes.

export default { fetch: () => new Response("ok") };
