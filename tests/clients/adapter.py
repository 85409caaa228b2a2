"""Reads requests line by line and answers each: what the adapters of clients written in Python have in common."""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor

#: Plain functions that are under way at a time.
MAX_CALLS = 64

def serve(**methods):
    """Runs `methods`, plain functions or coroutines, for the requests on standard input, each beside the others."""
    asyncio.run(_serve(methods))


async def _serve(methods):
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(MAX_CALLS))
    under_way = set()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        task = loop.create_task(_answer(request["number"], methods[request["method"]], request["fields"]))
        under_way.add(task)
        task.add_done_callback(under_way.discard)


async def _answer(number, method, fields):
    try:
        if asyncio.iscoroutinefunction(method):
            answer = await method(**fields)
        else:
            answer = await asyncio.to_thread(method, **fields)
        said = {"number": number, "answer": answer}
    except Exception as error:  # The test receives every error that a client raises.
        status = getattr(error, "status_code", None)
        code = getattr(error, "code", None)
        said = {"number": number, "error": {"name": type(error).__name__, "status": status, "code": code, "message": str(error)}}
    print(json.dumps(said), flush=True)


def content_of(text, image):
    """A user message, with an image if there is one."""
    if image is None:
        return text
    return [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
    ]


def usage_of(usage):
    """OpenAI's figures, as the tests name them."""
    return {
        "input": usage.prompt_tokens,
        "output": usage.completion_tokens,
        "cached": usage.prompt_tokens_details.cached_tokens,
    }


def response_input_of(text, image):
    """The same as the input of a response."""
    if image is None:
        return text
    image_url = f"data:image/png;base64,{image}"
    content = [{"type": "input_text", "text": text}, {"type": "input_image", "detail": "auto", "image_url": image_url}]
    return [{"role": "user", "content": content}]


def response_usage_of(usage):
    """A response's figures, as the tests name them."""
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cached": usage.input_tokens_details.cached_tokens,
    }


def conversation(user, session):
    """What names a conversation in a request of openai-python."""
    options = {}
    if user is not None:
        options["user"] = user
    if session is not None:
        options["extra_headers"] = {"x-openclaw-session-key": session}
    return options
