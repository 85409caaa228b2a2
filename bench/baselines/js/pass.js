// Hands a request on to an origin that speaks OpenAI's API itself, and its answer back: the least that a Worker in between can cost.

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/healthz") return new Response("ok");
    return fetch(env.ORIGIN + pathname, request);
  },
};
