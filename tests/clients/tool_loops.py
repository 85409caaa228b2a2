"""The loops of the Python clients, at their default settings, in which a model calls the tools of its client until it answers."""

import json
from functools import reduce
from operator import add

from adapter import serve
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    handoff,
    set_tracing_disabled,
)
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from pydantic import BaseModel

# Traces go to OpenAI, whatever the model is.
set_tracing_disabled(True)

MAX_ROUNDS = 6


class get_weather(BaseModel):
    city: str


class now(BaseModel):
    pass


class Place(BaseModel):
    city: str


def chat(base_url, key, content, results, stream=False):
    """`results` are those of the tools: by the city, and of `now`."""
    client = OpenAI(base_url=base_url, api_key=key)
    messages = [{"role": "user", "content": content}]
    request = {
        "model": "openclaw",
        "messages": messages,
        "tools": [pydantic_function_tool(get_weather), pydantic_function_tool(now)],
    }
    for _ in range(MAX_ROUNDS):
        if stream:
            with client.chat.completions.stream(**request) as events:
                completion = events.get_final_completion()
        else:
            completion = client.chat.completions.parse(**request)
        message = completion.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            result = results[getattr(call.function.parsed_arguments, "city", "now")]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def response(base_url, key, content, results, stream=False):
    client = OpenAI(base_url=base_url, api_key=key)
    tools = [{"type": "function", **pydantic_function_tool(tool)["function"]} for tool in (get_weather, now)]
    request = {"model": "openclaw", "tools": tools, "input": content}
    for _ in range(MAX_ROUNDS):
        if stream:
            with client.responses.stream(**request) as events:
                answer = events.get_final_response()
        else:
            answer = client.responses.parse(**request)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return answer.output_text
        request["previous_response_id"] = answer.id
        request["input"] = [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": results[json.loads(call.arguments).get("city", "now")],
            }
            for call in calls
        ]


MODELS = {"chat": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}


def agent_of(api, base_url, key, **fields):
    client = AsyncOpenAI(base_url=base_url, api_key=key)
    return Agent(model=MODELS[api](model="openclaw", openai_client=client), **fields)


async def agents(base_url, key, content, results, api, stream=False, chain=False):
    """`chain`: the SDK sends `previous_response_id` instead of the earlier items."""

    @function_tool(name_override="get_weather")
    def weather(city: str) -> str:
        return results[city]

    @function_tool(name_override="now")
    def time() -> str:
        return results["now"]

    agent = agent_of(api, base_url, key, name="assistant", tools=[weather, time])
    if not stream:
        result = await Runner.run(agent, content, auto_previous_response_id=chain)
        return result.final_output
    result = Runner.run_streamed(agent, content, auto_previous_response_id=chain)
    async for _ in result.stream_events():
        pass
    return result.final_output


async def agents_handoff(base_url, key, content, api, name):
    """The result of a handoff has the `name` of the next agent."""
    other = agent_of(api, base_url, key, name=name, instructions="Habla.")
    agent = agent_of(api, base_url, key, name="first", handoffs=[handoff(other, tool_name_override="ask_the_other")])
    result = await Runner.run(agent, content)
    return [result.last_agent.name, result.final_output]


def langchain(base_url, key, content, results, responses=False, stream=False):
    model = ChatOpenAI(model="openclaw", base_url=base_url, api_key=key, use_responses_api=responses)
    bound = model.bind_tools([get_weather, now])
    messages = [HumanMessage(content)]
    for _ in range(MAX_ROUNDS):
        answer = reduce(add, bound.stream(messages)) if stream else bound.invoke(messages)
        if not answer.tool_calls:
            return answer.text
        messages.append(answer)
        for call in answer.tool_calls:
            messages.append(ToolMessage(results[call["args"].get("city", "now")], tool_call_id=call["id"]))


def langchain_structured(base_url, key, content, method, responses=False):
    model = ChatOpenAI(model="openclaw", base_url=base_url, api_key=key, use_responses_api=responses)
    return model.with_structured_output(Place, method=method).invoke(content).city


if __name__ == "__main__":
    serve(
        chat=chat,
        response=response,
        agents=agents,
        agents_handoff=agents_handoff,
        langchain=langchain,
        langchain_structured=langchain_structured,
    )
