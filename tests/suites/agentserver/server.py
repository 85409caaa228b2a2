"""Serves azure-ai-agentserver-responses with an agent that says `w0 w1 …`, for record.mjs.

    pip install azure-ai-agentserver-responses==2.3.0
    python server.py 9108 &
    node record.mjs http://127.0.0.1:9108
"""

import asyncio
import re
import sys

from azure.ai.agentserver.responses import ResponsesAgentServerHost, TextResponse

app = ResponsesAgentServerHost()


@app.response_handler
async def handler(request, context, cancellation_signal):
    said = await context.get_input_text()
    deltas, delay_ms = (
        int(re.search(rf"{name}=(\d+)", said).group(1)) for name in ("deltas", "delay")
    )

    async def text():
        for index in range(deltas):
            await asyncio.sleep(delay_ms / 1000)
            if cancellation_signal.is_set():
                return
            yield f"w{index}" if index == 0 else f" w{index}"

    return TextResponse(context, request, text=text())


app.run(host="127.0.0.1", port=int(sys.argv[1]))
