"""Asks the providers that a plugin brings: which models there are, and for answers.

The earlier platform made a provider for one model, named in its `LLMConfig`; so does this, one for each model that is asked.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable

from resoftai import _parts
from resoftai.llm.base import LLMProvider
from resoftai.plugins import base
from resoftai.plugins.errors import PluginValidationError

# Given only to methods that name them: others would pass them on to servers that do not know them.
_NAMED_ONLY = frozenset({"model", "messages"})


class Provider:
    """The providers of one plugin."""

    def __init__(self, plugin: base.LLMProviderPlugin) -> None:
        self._plugin = plugin
        self._made: dict[str | None, Any] = {}

    def of(self, model: str | None) -> Any:
        """The provider for a model; without a name, for that of the settings."""
        if model not in self._made:
            self._made[model] = _parts.provider(self._plugin, model)
        return self._made[model]

    async def describe(self) -> dict[str, Any]:
        """`name`, and `models` as names or as objects with `name` and `context_length`."""
        name = str(getattr(self._plugin.get_provider_name(), "value", self._plugin.get_provider_name()))
        return {"name": name, "models": list(await self._models() or [name])}

    async def _models(self) -> Any:
        provider = self.of(None)
        for part in (self._plugin, provider):
            if callable(getattr(part, "list_models", None)):
                models = await _settled(part.list_models())
                if models is not None:
                    return models
        config = _parts.llm_config(self._plugin.config.config)
        if isinstance(config.get("models"), list):
            return config.get("models")
        model = config.model or getattr(provider, "model", None)
        return [model] if isinstance(model, str) and model else None

    async def answer(self, question: dict[str, Any], emit: Callable[[str], None] | None = None) -> dict[str, Any]:
        """`content`, `finish_reason` and `usage`; with `emit` the pieces are passed on as they come."""
        provider = self.of(question["model"])
        method = provider.generate_stream if emit and _streams(provider) else provider.generate
        result = await _settled(method(**_accepted(method, question)))
        if inspect.isgenerator(result) or inspect.isasyncgen(result):
            return await _gathered(result, type(provider).__name__, emit)
        return _response(result, type(provider).__name__)


def _streams(provider: Any) -> bool:
    own = getattr(type(provider), "generate_stream", None)
    return own is not None and own is not LLMProvider.generate_stream


async def _settled(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _accepted(method: Callable[..., Any], question: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(method).parameters.values()
    names = {p.name for p in parameters}
    rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return {k: v for k, v in question.items() if k in names or (rest and k not in _NAMED_ONLY)}


async def _gathered(pieces: Any, who: str, emit: Callable[[str], None] | None) -> dict[str, Any]:
    content: list[str] = []
    told: dict[str, Any] = {}

    def take(piece: Any) -> None:
        if not isinstance(piece, str):
            told.update({k: v for k, v in _response(piece, who).items() if v})
            piece = told.pop("content", "")
        if piece:
            content.append(piece)
            if emit is not None:
                emit(piece)

    if inspect.isgenerator(pieces):
        try:
            for piece in pieces:
                take(piece)
        finally:
            pieces.close()
    else:
        try:
            async for piece in pieces:
                take(piece)
        finally:
            await pieces.aclose()
    return {**told, "content": "".join(content)}


def _response(answer: Any, who: str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"content": answer}
    if isinstance(answer, dict) and isinstance(answer.get("content"), str):
        return answer
    content = getattr(answer, "content", None)
    if not isinstance(content, str):
        raise PluginValidationError(f"{who} answered {type(answer).__name__}: it must answer text or an LLMResponse.")
    return {"content": content, **{name: getattr(answer, name, None) for name in ("finish_reason", "usage")}}
