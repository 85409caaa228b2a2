"""OpenAI's Agents SDK: an agent without tools, with either API of ours as its model."""

from functools import cache

from adapter import response_input_of, response_usage_of, serve
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

# Traces go to OpenAI, whatever the model is.
set_tracing_disabled(True)


@cache
def client_of(base_url, key):
    return AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0)


def agent_of(kind, base_url, key, model, user, session):
    settings = ModelSettings(
        include_usage=True,
        extra_args=None if user is None else {"user": user},
        extra_headers=None if session is None else {"x-openclaw-session-key": session},
    )
    return Agent(
        name="assistant",
        instructions="Answer.",
        model=kind(model=model, openai_client=client_of(base_url, key)),
        model_settings=settings,
    )


async def run(kind, base_url, key, content, model, stream, image, user, session, leave_after):
    agent = agent_of(kind, base_url, key, model, user, session)
    request = response_input_of(content, image)
    if not stream:
        result = await Runner.run(agent, request)
        return {"text": result.final_output, "finish": None, "usage": response_usage_of(result.context_wrapper.usage)}

    result = Runner.run_streamed(agent, request)
    text = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
        if leave_after and len(text) >= leave_after:
            result.cancel()
            return {"text": text, "finish": None, "usage": None}
    assert text == result.final_output
    return {"text": text, "finish": None, "usage": response_usage_of(result.context_wrapper.usage)}


def ask_with(kind):
    async def ask(
        base_url, key, content, model="openclaw", stream=False, image=None, user=None, session=None, leave_after=None
    ):
        return await run(kind, base_url, key, content, model, stream, image, user, session, leave_after)

    return ask


async def two_turns(base_url, key, first, second):
    """The second turn contains the first one, as its result has it."""
    agent = agent_of(OpenAIResponsesModel, base_url, key, "openclaw", None, None)
    result = await Runner.run(agent, first)
    result = await Runner.run(agent, result.to_input_list() + [{"role": "user", "content": second}])
    return result.final_output


async def typed(base_url, key, content):
    """An answer of a type: what the SDK asks for then."""
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str

    agent = agent_of(OpenAIResponsesModel, base_url, key, "openclaw", None, None).clone(output_type=Place)
    result = await Runner.run(agent, content)
    return result.final_output.city


if __name__ == "__main__":
    serve(
        ask_responses=ask_with(OpenAIResponsesModel),
        ask_chat=ask_with(OpenAIChatCompletionsModel),
        two_turns=two_turns,
        typed=typed,
    )
