"""Adapts the client `OpenAI` of openai-python."""

from functools import cache

from adapter import content_of, conversation, serve, usage_of
from openai import OpenAI



@cache
def client_of(base_url, key, **options):
    return OpenAI(base_url=base_url, api_key=key, **options)

def models(base_url, key):
    client = client_of(base_url, key)
    return [model.id for model in client.models.list()]


def ask(
    base_url, key, content, model="openclaw", stream=False, image=None, user=None, session=None, leave_after=None, options=None
):
    # Without options of its own the client tries once, so that tests see each answer.
    client = client_of(base_url, key, **({"max_retries": 0} if options is None else options))
    request = conversation(user, session)
    messages = [{"role": "user", "content": content_of(content, image)}]
    if not stream:
        completion = client.chat.completions.create(model=model, messages=messages, **request)
        choice = completion.choices[0]
        return {"text": choice.message.content, "finish": choice.finish_reason, "usage": usage_of(completion.usage)}

    answer = {"text": "", "finish": None, "usage": None}
    chunks = client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}, **request
    )
    for chunk in chunks:
        if chunk.usage:
            answer["usage"] = usage_of(chunk.usage)
        for choice in chunk.choices:
            answer["text"] += choice.delta.content or ""
            answer["finish"] = choice.finish_reason or answer["finish"]
        if leave_after and len(answer["text"]) >= leave_after:
            chunks.close()
            break
    return answer


if __name__ == "__main__":
    serve(models=models, ask=ask)
