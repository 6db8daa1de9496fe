"""OpenAI Models: a server that speaks OpenAI's API, asked by a plugin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from resoftai import http
from resoftai.llm.base import LLMProvider, LLMResponse
from resoftai.plugins.base import LLMProviderPlugin, PluginContext
from resoftai.plugins.errors import PluginError

PATIENCE = 120.0
"""Seconds for a whole answer, or for each piece of a streamed one."""


class OpenAIProvider(LLMProvider):
    """Speaks for one model, `self.config.model`."""

    async def list_models(self) -> list[str] | None:
        if self.config.get("models"):
            return None
        reply = http.get(f"{self.config.base_url}/models", headers=self._headers())
        if not reply.ok:
            raise PluginError(_refusal(reply.status, reply.body))
        return [model["id"] for model in reply.json()["data"]]

    async def generate(
        self,
        prompt: str,
        system_prompt: str | None = None,
        messages: list[dict[str, str]] | None = None,
        **options: Any,
    ) -> LLMResponse:
        body = self._body(prompt, system_prompt, messages, options)
        reply = http.post(self._url(), json=body, headers=self._headers(), timeout=PATIENCE)
        if not reply.ok:
            raise PluginError(_refusal(reply.status, reply.body))
        answer = reply.json()
        choice = answer["choices"][0]
        return LLMResponse(
            choice["message"]["content"] or "",
            model=self.config.model,
            usage=answer.get("usage") or {},
            finish_reason=choice.get("finish_reason"),
        )

    async def generate_stream(
        self,
        prompt: str,
        system_prompt: str | None = None,
        messages: list[dict[str, str]] | None = None,
        **options: Any,
    ) -> AsyncIterator[str | LLMResponse]:
        body = self._body(prompt, system_prompt, messages, options)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        end = LLMResponse("", model=self.config.model)
        with http.stream("POST", self._url(), json=body, headers=self._headers(), timeout=PATIENCE) as reply:
            if not reply.ok:
                raise PluginError(_refusal(reply.status, reply.read()))
            for line in reply.iter_lines():
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:") or data == "[DONE]":
                    continue
                chunk = json.loads(data)
                if "error" in chunk:
                    raise PluginError(_words(chunk))
                end.usage = chunk.get("usage") or end.usage
                for choice in chunk.get("choices", [])[:1]:
                    end.finish_reason = choice.get("finish_reason") or end.finish_reason
                    if piece := choice.get("delta", {}).get("content"):
                        yield piece
        yield end

    def _url(self) -> str:
        return f"{self.config.base_url}/chat/completions"

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.config.api_key}"} if self.config.api_key else {}

    def _body(
        self, prompt: str, system_prompt: str | None, messages: list[dict[str, str]] | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        if messages is None:
            messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
            messages.append({"role": "user", "content": prompt})
        return {"model": self.config.model, "messages": messages, **options}


def _refusal(status: int, body: bytes) -> str:
    try:
        words = _words(json.loads(body))
    except ValueError:
        words = body[:200].decode("utf-8", "replace") or "no reason given"
    return f"The model server answered {status}: {words}"


def _words(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else answer
    return str(error.get("message") if isinstance(error, dict) else error)


class OpenAIModelsPlugin(LLMProviderPlugin):
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
        return OpenAIProvider

    def get_provider_name(self) -> str:
        return "openai"
