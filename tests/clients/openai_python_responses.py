"""openai-python's `OpenAI`, with the Responses API."""

from functools import cache

from adapter import conversation, response_input_of, response_usage_of, serve
from openai import OpenAI


@cache
def client_of(base_url, key, **options):
    return OpenAI(base_url=base_url, api_key=key, **options)


def models(base_url, key):
    return [model.id for model in client_of(base_url, key, max_retries=0).models.list()]


def finish_of(response):
    """The reason in a chat completion's words."""
    if response.incomplete_details and response.incomplete_details.reason == "max_output_tokens":
        return "length"
    return "stop" if response.status == "completed" else response.status


def ask(
    base_url, key, content, model="openclaw", stream=False, image=None, user=None, session=None, leave_after=None, options=None
):
    # Without options of its own the client tries once, so that tests see each answer.
    client = client_of(base_url, key, **({"max_retries": 0} if options is None else options))
    request = {"model": model, "input": response_input_of(content, image), **conversation(user, session)}
    if not stream:
        response = client.responses.create(**request)
        return {"text": response.output_text, "finish": finish_of(response), "usage": response_usage_of(response.usage)}

    text = ""
    with client.responses.stream(**request) as events:
        for event in events:
            if event.type == "response.output_text.delta":
                text += event.delta
            if leave_after and len(text) >= leave_after:
                return {"text": text, "finish": None, "usage": None}
        # What the SDK has put together of the events.
        response = events.get_final_response()
    return {"text": response.output_text, "finish": finish_of(response), "usage": response_usage_of(response.usage)}


if __name__ == "__main__":
    serve(models=models, ask=ask)
