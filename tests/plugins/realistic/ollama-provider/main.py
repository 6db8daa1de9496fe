import json
from typing import AsyncIterator, Optional

import httpx

from resoftai.llm.base import LLMConfig, LLMProvider, LLMResponse
from resoftai.plugins.base import LLMProviderPlugin
from resoftai.plugins.errors import PluginError


class OllamaProvider(LLMProvider):
    def __init__(self, config: LLMConfig):
        super().__init__(config)
        self.url = config.base_url or "http://ollama.internal:11434"
        self.model = config.model or "llama3"

    def _body(self, prompt: str, system_prompt: Optional[str], stream: bool, options: dict) -> dict:
        messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
        messages.append({"role": "user", "content": prompt})
        body = {"model": self.model, "messages": messages, "stream": stream}
        if self.config.temperature is not None or options:
            body["options"] = {"temperature": self.config.temperature, **options}
        return body

    async def generate(self, prompt: str, system_prompt: Optional[str] = None, **kwargs) -> LLMResponse:
        async with httpx.AsyncClient(base_url=self.url, timeout=httpx.Timeout(60.0, connect=5.0)) as client:
            try:
                response = await client.post("/api/chat", json=self._body(prompt, system_prompt, False, kwargs))
                response.raise_for_status()
            except httpx.HTTPStatusError as e:
                raise PluginError(f"Ollama answered {e.response.status_code}") from e
        data = response.json()
        usage = {"prompt_tokens": data["prompt_eval_count"], "completion_tokens": data["eval_count"]}
        usage["total_tokens"] = sum(usage.values())
        return LLMResponse(content=data["message"]["content"], model=self.model, usage=usage)

    async def generate_stream(self, prompt: str, system_prompt: Optional[str] = None, **kwargs) -> AsyncIterator[str]:
        async with httpx.AsyncClient(base_url=self.url) as client:
            async with client.stream("POST", "/api/chat", json=self._body(prompt, system_prompt, True, kwargs)) as reply:
                async for line in reply.aiter_lines():
                    part = json.loads(line)
                    if part.get("done"):
                        break
                    yield part["message"]["content"]


class OllamaPlugin(LLMProviderPlugin):
    def load(self, context):
        self.context = context
        return True

    def activate(self):
        return True

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_provider_class(self):
        return OllamaProvider

    def get_provider_name(self):
        return "ollama"
