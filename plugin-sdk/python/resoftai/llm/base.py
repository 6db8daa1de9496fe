"""What an LLM provider plugin inherits from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, AsyncIterator


@dataclass
class LLMConfig:
    """How a provider is to be called."""

    provider: str = ""
    model: str = ""
    api_key: str | None = None
    base_url: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Settings that have no field of their own."""

    def get(self, key: str, default: Any = None) -> Any:
        """A field or one of `extra`, as of a dictionary."""
        value = getattr(self, key, None) if key in self.__dataclass_fields__ else self.extra.get(key)
        return default if value is None else value

    @property
    def model_name(self) -> str:
        """`model`, by its other name."""
        return self.model

    @property
    def api_base(self) -> str | None:
        """`base_url`, by its other name."""
        return self.base_url


@dataclass
class LLMResponse:
    """One answer. `usage` counts tokens: prompt_tokens, completion_tokens, total_tokens."""

    content: str
    model: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    finish_reason: str | None = None

    @property
    def total_tokens(self) -> int:
        """Tokens read and written."""
        return self.usage.get("total_tokens", 0)


class LLMProvider(ABC):
    """A source of answers."""

    def __init__(self, config: LLMConfig) -> None:
        self.config = config

    @abstractmethod
    async def generate(self, prompt: str, system_prompt: str | None = None, **options: Any) -> LLMResponse:
        """The whole answer."""

    async def generate_stream(
        self, prompt: str, system_prompt: str | None = None, **options: Any
    ) -> AsyncIterator[str | LLMResponse]:
        """The answer in pieces; where a provider does not override this, in one piece.

        A last `LLMResponse` without content may tell `usage` and `finish_reason`.
        """
        yield (await self.generate(prompt, system_prompt, **options)).content

    async def list_models(self) -> list[str | dict[str, Any]] | None:
        """The models there are: names, or `name` and `context_length` (in tokens) of each. None: those of the settings."""
        return None
