"""Makes the agent or provider that a plugin brings.

The classes of the contract need nothing (an agent) or an `LLMConfig` (a provider). Classes that ask for more get what there is
under the names that are in use, and None for the rest.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from resoftai.llm.base import LLMConfig
from resoftai.plugins import base

_NAMES = {"model_name": "model", "api_base": "base_url"}


def agent(plugin: base.AgentPlugin) -> Any:
    """The plugin's agent."""
    known = {"role": plugin.get_agent_role(), "config": plugin.config, "context": plugin.context, "plugin": plugin}
    return _make(plugin.get_agent_class(), (), known)


def provider(plugin: base.LLMProviderPlugin, model: str | None = None) -> Any:
    """The plugin's provider, with its settings as an `LLMConfig`; for `model` when one is named."""
    known = {"context": plugin.context, "plugin": plugin}
    config = llm_config(plugin.config.config)
    if model is not None:
        config.model = model
    return _make(plugin.get_provider_class(), (config,), known)


def llm_config(settings: dict[str, Any]) -> LLMConfig:
    """Settings that have a field of their own, also by another name in use, and the rest as `extra`."""
    fields = {f.name for f in dataclasses.fields(LLMConfig)} - {"extra"}
    named = {_NAMES.get(key, key): value for key, value in settings.items()}
    return LLMConfig(
        **{key: value for key, value in named.items() if key in fields},
        extra={key: value for key, value in settings.items() if _NAMES.get(key, key) not in fields},
    )


def _make(cls: type, first: tuple[Any, ...], known: dict[str, Any]) -> Any:
    parameters = list(inspect.signature(cls).parameters.values())[len(first) :]
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in plain]
    return cls(*first, **{name: known.get(name) for name in needed})
