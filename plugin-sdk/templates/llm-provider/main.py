"""{{name}}: a source of language models."""

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

    async def generate_stream(self, prompt: str, system_prompt: str | None = None, **options) -> AsyncIterator[str]:
        answer = await self.generate(prompt, system_prompt, **options)
        for word in answer.content.splitlines(keepends=True):
            yield word


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
