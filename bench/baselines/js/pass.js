// Forwards a request to an origin that has OpenAI's API itself, and its response back: the lowest
// cost of a Worker in between.

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/healthz") return new Response("ok");
    return fetch(env.ORIGIN + pathname, request);
  },
};
