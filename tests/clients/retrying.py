"""Clients that try again by themselves. One process has all of them, because their imports take most of its time."""

import dspy_calls
import litellm_calls
import llama_index_calls
from adapter import serve

if __name__ == "__main__":
    serve(
        litellm_completion=litellm_calls.completion,
        litellm_responses=litellm_calls.responses,
        router_completion=litellm_calls.router_completion,
        router_responses=litellm_calls.router_responses,
        llama_index_chat=llama_index_calls.chat,
        llama_index_responses=llama_index_calls.responses,
        dspy_chat=dspy_calls.chat,
        dspy_responses=dspy_calls.responses,
    )
