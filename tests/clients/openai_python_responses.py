"""openai-python's `OpenAI`, with the Responses API."""

from functools import cache
from time import sleep

from adapter import conversation, response_input_of, response_usage_of, serve
from openai import OpenAI

#: Seconds between two looks at a response in the background.
POLL_S = 0.1


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


def background(base_url, key, content, model="openclaw"):
    """Leaves a response in the background, comes back for it, reads its events again, and deletes it."""
    client = client_of(base_url, key, max_retries=0)
    begun = client.responses.create(model=model, input=content, background=True)
    while (found := client.responses.retrieve(begun.id)).status == "in_progress":
        sleep(POLL_S)
    items = client.responses.input_items.list(begun.id)
    client.responses.delete(begun.id)

    first = []
    for event in client.responses.create(model=model, input=content, background=True, stream=True):
        first.append(event)
        if event.type == "response.output_text.delta":
            break
    response_id = first[0].response.id
    last = first[-1].sequence_number
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=last))
    deltas = [event.delta for event in first + rest if event.type == "response.output_text.delta"]
    return {
        "begun": begun.status,
        "text": found.output_text,
        "items": [part.text for item in items for part in item.content],
        "numbers": [event.sequence_number for event in first + rest],
        "deltas": "".join(deltas),
        "end": rest[-1].response.output_text,
    }


def cancel(base_url, key, content, model="openclaw"):
    client = client_of(base_url, key, max_retries=0)
    begun = client.responses.create(model=model, input=content, background=True)
    return client.responses.cancel(begun.id).status


if __name__ == "__main__":
    serve(models=models, ask=ask, background=background, cancel=cancel)
