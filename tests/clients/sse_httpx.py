"""httpx-sse, given a stream in pieces cut anywhere."""

import base64
import random

import httpx
from adapter import serve
from httpx_sse import EventSource


def decode(stream, seed, times):
    """What it makes of the same bytes in `times` ways to cut them: each different result once."""
    data = base64.b64decode(stream)
    cut = random.Random(seed)
    results = []
    for _ in range(times):
        pieces = [data] if not results else list(in_pieces(data, cut))
        response = httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=iter(pieces))
        events = [[sse.event, sse.data, sse.id, sse.retry] for sse in EventSource(response).iter_sse()]
        if events not in results:
            results.append(events)
    return results


def in_pieces(data, cut):
    """From single bytes to a few long pieces."""
    longest = cut.choice([1, 2, 3, 7, 40, 400])
    at = 0
    while at < len(data):
        size = cut.randint(1, longest)
        yield data[at : at + size]
        at += size


if __name__ == "__main__":
    serve(decode=decode)
