"""litellm and its Router at their defaults, with either API."""

import asyncio

import litellm

litellm.suppress_debug_info = True


def deployment_of(base_url, key):
    return {"model": "openai/openclaw", "api_base": base_url, "api_key": key}


def router_of(base_url, key):
    return litellm.Router(model_list=[{"model_name": "agent", "litellm_params": deployment_of(base_url, key)}])


def text_of_chunks(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def text_of_events(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def completion(base_url, key, content, stream):
    messages = [{"role": "user", "content": content}]
    answer = litellm.completion(**deployment_of(base_url, key), messages=messages, stream=stream)
    return text_of_chunks(answer) if stream else answer.choices[0].message.content


def router_completion(base_url, key, content, stream):
    messages = [{"role": "user", "content": content}]
    answer = router_of(base_url, key).completion(model="agent", messages=messages, stream=stream)
    return text_of_chunks(answer) if stream else answer.choices[0].message.content


def responses(base_url, key, content, stream):
    answer = litellm.responses(**deployment_of(base_url, key), input=content, stream=stream)
    return text_of_events(answer) if stream else answer.output[0].content[0].text


def router_responses(base_url, key, content, stream):
    async def ask():
        answer = await router_of(base_url, key).aresponses(model="agent", input=content, stream=stream)
        if stream:
            return text_of_events([event async for event in answer])
        return answer.output[0].content[0].text

    return asyncio.run(ask())
