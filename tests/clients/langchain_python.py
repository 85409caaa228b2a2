"""LangChain's `ChatOpenAI` for Python."""

from adapter import content_of, serve
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI


def ask(base_url, key, content, model="openclaw", stream=False, image=None, user=None, session=None, leave_after=None):
    chat = ChatOpenAI(
        base_url=base_url,
        api_key=key,
        model=model,
        max_retries=0,
        stream_usage=True,
        default_headers={"x-openclaw-session-key": session} if session else None,
        model_kwargs={"user": user} if user else {},
    )
    message = HumanMessage(content_of(content, image))
    if not stream:
        whole = chat.invoke([message])
        return answer_of(whole, whole.text)

    said = None
    chunks = chat.stream([message])
    for chunk in chunks:
        said = chunk if said is None else said + chunk
        if leave_after and len(said.text) >= leave_after:
            chunks.close()
            break
    return answer_of(said, said.text)


def answer_of(message, text):
    usage = message.usage_metadata
    return {
        "text": text,
        "finish": message.response_metadata.get("finish_reason"),
        "usage": usage
        and {
            "input": usage["input_tokens"],
            "output": usage["output_tokens"],
            "cached": usage["input_token_details"]["cache_read"],
        },
    }


if __name__ == "__main__":
    serve(ask=ask)
