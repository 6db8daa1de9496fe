"""The site's own language model, and (in `resoftai.llm.base`) what a provider plugin inherits from.

A request is JSON `{"messages": [{"role", "content"}], "max_tokens"?, "temperature"?}`; the reply is
`{"content", "model"?, "usage"?}`.
"""

from __future__ import annotations

import json
from typing import Any

from resoftai import _host
from resoftai.llm.base import LLMConfig, LLMProvider, LLMResponse

__all__ = ["LLMConfig", "LLMProvider", "LLMResponse", "chat", "complete"]


def chat(
    messages: list[dict[str, str]], *, max_tokens: int | None = None, temperature: float | None = None
) -> LLMResponse:
    """The model's answer to a conversation. Raises `HostError` when the plugin may not ask or the quota is used up."""
    request: dict[str, Any] = {"messages": messages}
    if max_tokens is not None:
        request["max_tokens"] = max_tokens
    if temperature is not None:
        request["temperature"] = temperature
    reply = json.loads(_host.current().llm_complete(json.dumps(request)))
    return LLMResponse(content=reply["content"], model=reply.get("model", ""), usage=reply.get("usage") or {})


def complete(
    prompt: str, system_prompt: str | None = None, *, max_tokens: int | None = None, temperature: float | None = None
) -> str:
    """The model's answer to one prompt, as text."""
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages.append({"role": "user", "content": prompt})
    return chat(messages, max_tokens=max_tokens, temperature=temperature).content
