"""LangChain's standard tests of a chat model, for `ChatOpenAI` in front of an agent, with either API.

All that can be switched off there is on, but for images by their address: the Worker fetches nothing for a client.
"""

import base64
import os

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

#: The files that the cases download, by the ends of their names. A test asks no other machine.
DOWNLOADS = {".png": base64.b64decode(PIXEL), ".pdf": b"%PDF-1.4\n%%EOF\n", ".wav": b"RIFF\x04\x00\x00\x00WAVE"}


@pytest.fixture(autouse=True)
def downloads(monkeypatch):
    def get(url, **_):
        return httpx.Response(200, content=DOWNLOADS[os.path.splitext(url)[1]])

    monkeypatch.setattr(httpx, "get", get)


class TestChatCompletions(ChatModelIntegrationTests):
    chat_model_class = ChatOpenAI
    model_override_value = "openclaw/beta"
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_tool_message = True
    supports_pdf_inputs = True
    supports_pdf_tool_message = True
    supports_audio_inputs = True
    supports_anthropic_inputs = True
    supported_usage_metadata_details = {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    @property
    def chat_model_params(self):
        return {"base_url": os.environ["OPENAI_BASE_URL"], "model": "openclaw", "stream_usage": True}

    def invoke_with_cache_read_input(self, *, stream=False):
        model = ChatOpenAI(**self.chat_model_params)
        if not stream:
            return model.invoke("Hello")
        first, *rest = model.stream("Hello")
        return sum(rest, start=first)


class TestResponses(TestChatCompletions):
    @property
    def chat_model_params(self):
        return {**super().chat_model_params, "use_responses_api": True}
