"""The classes a plugin inherits from, and what it is handed.

Life of a plugin: constructed with metadata and configuration, `load(context)`, `activate()`, then hooks and methods are
called until `deactivate()` and `unload()`. Returning False or raising is a failure; its text is kept and shown.
"""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from typing import Any, Mapping

from resoftai import _host
from resoftai.plugins.errors import (
    PluginDependencyError,
    PluginError,
    PluginLoadError,
    PluginValidationError,
    PluginVersionError,
)
from resoftai.plugins.hooks import HookManager

__all__ = [
    "AgentPlugin",
    "CodeQualityPlugin",
    "IntegrationPlugin",
    "LLMProviderPlugin",
    "Plugin",
    "PluginConfig",
    "PluginContext",
    "PluginDependencyError",
    "PluginError",
    "PluginLoadError",
    "PluginMetadata",
    "PluginValidationError",
    "PluginVersionError",
    "TemplatePlugin",
    "WorkflowPlugin",
]

_MANIFEST_DEFAULTS: dict[str, Any] = {
    "name": "",
    "slug": "",
    "version": "0.0.0",
    "description": "",
    "author": "",
    "category": "utility",
    "tags": [],
    "min_platform_version": None,
    "max_platform_version": None,
    "dependencies": [],
    "entry_point": "",
    "license": None,
    "homepage": None,
    "repository": None,
    "documentation": None,
    "config_schema": None,
    "permissions": [],
}


class PluginMetadata:
    """The fields of `plugin.json` as attributes. Fields the contract does not name are kept."""

    name: str
    slug: str
    version: str
    description: str
    author: str
    category: str
    tags: list[str]
    min_platform_version: str | None
    max_platform_version: str | None
    dependencies: list[str]
    entry_point: str
    license: str | None
    homepage: str | None
    repository: str | None
    documentation: str | None
    config_schema: dict[str, Any] | None
    permissions: list[str]

    def __init__(self, **fields: Any) -> None:
        for key, default in _MANIFEST_DEFAULTS.items():
            fields.setdefault(key, list(default) if isinstance(default, list) else default)
        self.__dict__.update(fields)

    @classmethod
    def from_dict(cls, manifest: Mapping[str, Any]) -> PluginMetadata:
        """The metadata of a parsed `plugin.json`."""
        return cls(**manifest)

    def to_dict(self) -> dict[str, Any]:
        """All fields, as in `plugin.json`."""
        return dict(self.__dict__)

    def __repr__(self) -> str:
        return f"PluginMetadata(slug={self.slug!r}, version={self.version!r})"


class PluginConfig:
    """What the administrator set for this plugin."""

    def __init__(
        self, enabled: bool = True, config: Mapping[str, Any] | None = None, auto_update: bool = False
    ) -> None:
        self.enabled = enabled
        self.config: dict[str, Any] = dict(config or {})
        self.auto_update = auto_update

    def get(self, key: str, default: Any = None) -> Any:
        """The value set for `key`."""
        return self.config.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Changes a value for this instance; what the administrator saved stays as it is."""
        self.config[key] = value


class PluginContext:
    """A plugin's door to the platform: hooks, logs, and small data that outlives the instance."""

    def __init__(self, plugin_name: str, settings: Mapping[str, Any] | None = None) -> None:
        self.plugin_name = plugin_name
        self.hooks = HookManager()
        self.settings: dict[str, Any] = dict(settings or {})
        self.logger = logging.getLogger(f"plugin.{plugin_name}")
        self.db_session = None
        """Always None: a plugin has no way into the platform's database. Keep data with `set_data`."""

    def log_info(self, message: str) -> None:
        """Writes a line to the plugin's log."""
        _host.current().log("info", str(message))

    def log_warning(self, message: str) -> None:
        """Writes a warning to the plugin's log."""
        _host.current().log("warning", str(message))

    def log_error(self, message: str) -> None:
        """Writes an error to the plugin's log."""
        _host.current().log("error", str(message))

    def get_data(self, key: str, default: Any = None) -> Any:
        """The value kept under `key` by `set_data`, also by an earlier instance."""
        kept = _host.current().kv_get(key)
        return default if kept is None else json.loads(kept)

    def set_data(self, key: str, value: Any) -> None:
        """Keeps any value that JSON can express; None forgets the key."""
        _host.current().kv_set(key, None if value is None else json.dumps(value))


class Plugin(ABC):
    """What every plugin is. Inherit from one of the six kinds below where one fits."""

    def __init__(self, metadata: PluginMetadata, config: PluginConfig) -> None:
        self.metadata = metadata
        self.config = config
        self.context: PluginContext | None = None
        self.logger = logging.getLogger(f"plugin.{metadata.slug or metadata.name}")
        self.is_loaded = False
        self.is_active = False
        self.load_time: float | None = None

    @abstractmethod
    def load(self, context: PluginContext) -> bool:
        """Get ready; keep `context` as `self.context`."""

    @abstractmethod
    def activate(self) -> bool:
        """Register hooks, with `self.context.hooks`."""

    @abstractmethod
    def deactivate(self) -> bool:
        """Stop working; hooks are taken back by the platform."""

    @abstractmethod
    def unload(self) -> bool:
        """Let go of what is held."""

    def get_config_schema(self) -> dict[str, Any] | None:
        """JSON Schema of the configuration; its defaults fill what is not set."""
        return None

    def validate_config(self, config: dict[str, Any]) -> bool:
        """Refuse a configuration by returning False or by raising `PluginValidationError` with the reason."""
        return True

    def mark_loaded(self) -> None:
        """Called by the platform after `load` succeeded."""
        self.is_loaded = True
        self.load_time = time.time()


class AgentPlugin(Plugin):
    """Adds an agent to the team that builds software."""

    @abstractmethod
    def get_agent_class(self) -> type:
        """The class, a `resoftai.core.agent.Agent`."""

    @abstractmethod
    def get_agent_role(self) -> str:
        """The role under which projects know the agent."""


class LLMProviderPlugin(Plugin):
    """Adds a source of language models."""

    @abstractmethod
    def get_provider_class(self) -> type:
        """The class, a `resoftai.llm.base.LLMProvider`."""

    @abstractmethod
    def get_provider_name(self) -> str:
        """The name by which settings choose this provider."""


class IntegrationPlugin(Plugin):
    """Tells another system what happens here."""

    @abstractmethod
    def get_integration_name(self) -> str:
        """The name people see."""

    @abstractmethod
    async def send_notification(self, event: str, data: dict[str, Any]) -> bool:
        """Passes an event on; True when it arrived."""


class WorkflowPlugin(Plugin):
    """Adds an order of stages for projects."""

    @abstractmethod
    def get_workflow_name(self) -> str:
        """The name people choose."""

    @abstractmethod
    def get_workflow_stages(self) -> list[str | dict[str, Any]]:
        """The stages, in order, 1 to 20: names, or `{"name": .., "role": .., "produces": .., "optional": ..}`."""


class CodeQualityPlugin(Plugin):
    """Looks at code and may mend it."""

    @abstractmethod
    def get_tool_name(self) -> str:
        """The name under which findings are shown."""

    @abstractmethod
    async def analyze_code(self, code: str, language: str) -> dict[str, Any]:
        """Findings for one file; may be a plain function and may take an optional `file_path`."""

    def fix_code(self, code: str, language: str) -> str:
        """The mended code; the code unchanged where the plugin mends nothing."""
        return code


class TemplatePlugin(Plugin):
    """Adds a project to start from."""

    @abstractmethod
    def get_template_name(self) -> str:
        """The name people choose."""

    @abstractmethod
    def get_template_files(self) -> dict[str, str]:
        """Text by path."""

    def get_template_variables(self) -> list[dict[str, Any]] | None:
        """What the paths and texts leave open; None: what the package's `template.json` says, if there is one."""
        return None
