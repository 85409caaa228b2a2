// Serves the console's files in workerd, in front of the Worker, as Cloudflare does beside it. All
// other requests go to the Worker as they are. Cloudflare's part is `[assets]` of wrangler.toml.

import { FILES } from "./console-files.js";

export default {
  fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    if (pathname !== "/console" && !pathname.startsWith("/console/"))
      return env.WORKER.fetch(request);
    if (pathname === "/console" || pathname === "/console/index.html")
      return new Response(null, { status: 307, headers: { location: `/console/${search}` } });
    const file = FILES[pathname];
    if (!file) return new Response(null, { status: 404 });
    if (request.method !== "GET" && request.method !== "HEAD")
      return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
    if (request.headers.get("if-none-match") === file.headers.etag)
      return new Response(null, { status: 304, headers: file.headers });
    const body = request.method === "HEAD" ? null : file.text;
    return new Response(body, { headers: file.headers });
  },
};
