"""{{name}}: a source of language models."""

import json
from collections.abc import AsyncIterator

from resoftai import http
from resoftai.llm.base import LLMProvider, LLMResponse
from resoftai.plugins.base import LLMProviderPlugin, PluginContext
from resoftai.plugins.errors import PluginError


class {{class}}Provider(LLMProvider):
    """Speaks to a server with Ollama's API. `self.config` holds the plugin's settings."""

    async def generate(self, prompt: str, system_prompt: str | None = None, **options) -> LLMResponse:
        body = {"model": self.config.model, "prompt": prompt, "stream": False}
        if system_prompt:
            body["system"] = system_prompt
        reply = http.post(f"{self.config.base_url}/api/generate", json=body, timeout=60)
        if not reply.ok:
            raise PluginError(f"The model server answered {reply.status}: {reply.text[:200]}")
        answer = reply.json()
        read, written = answer.get("prompt_eval_count", 0), answer.get("eval_count", 0)
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return LLMResponse(answer["response"], model=self.config.model, usage=usage, finish_reason="stop")

    async def generate_stream(
        self, prompt: str, system_prompt: str | None = None, **options
    ) -> AsyncIterator[str | LLMResponse]:
        body = {"model": self.config.model, "prompt": prompt, "stream": True}
        if system_prompt:
            body["system"] = system_prompt
        with http.stream("POST", f"{self.config.base_url}/api/generate", json=body, timeout=60) as reply:
            if not reply.ok:
                raise PluginError(f"The model server answered {reply.status}: {reply.read()[:200]!r}")
            for line in reply.iter_lines():
                part = json.loads(line)
                if part.get("response"):
                    yield part["response"]
                if part.get("done"):
                    usage = {"prompt_tokens": part.get("prompt_eval_count", 0), "completion_tokens": part.get("eval_count", 0)}
                    yield LLMResponse("", model=self.config.model, usage=usage, finish_reason="stop")


class {{class}}Plugin(LLMProviderPlugin):
    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def get_provider_class(self) -> type:
        return {{class}}Provider

    def get_provider_name(self) -> str:
        return "{{role}}"
