"""llama-index's `OpenAILike` and `OpenAILikeResponses` at their defaults."""

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from llama_index.llms.openai_like.responses import OpenAILikeResponses


def call(llm, content, stream):
    messages = [ChatMessage(role="user", content=content)]
    if stream:
        return "".join(chunk.delta or "" for chunk in llm.stream_chat(messages))
    return llm.chat(messages).message.content


def chat(base_url, key, content, stream):
    return call(OpenAILike(model="openclaw", api_base=base_url, api_key=key, is_chat_model=True), content, stream)


def responses(base_url, key, content, stream):
    return call(OpenAILikeResponses(model="openclaw", api_base=base_url, api_key=key), content, stream)
