// Takes every frame of a run from the runtime and does nothing with it: the floor. No Worker costs
// less, in any language.

import { begin } from "./gateway.js";

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/healthz") return new Response("ok");
    const { messages } = await request.json();
    let controller;
    let frames = 0;
    const body = new ReadableStream({ start: (given) => (controller = given) });
    const end = () => {
      controller.enqueue(new TextEncoder().encode(`: ${frames} frames\n\ndata: [DONE]\n\n`));
      controller.close();
      socket.close();
    };
    const { socket } = await begin(
      env,
      messages.at(-1).content,
      ({ data }) => {
        frames += 1;
        // The only frame that begins so after the acceptance is the run's end.
        if (data.startsWith('{"type":"res","id":"agent"')) end();
      },
      () => {},
    );
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  },
};
