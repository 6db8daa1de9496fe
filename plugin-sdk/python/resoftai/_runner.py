"""Drives one plugin through its life, JSON in and JSON out.

The sandbox's guest loader and `resoftai.testing` both use it, so that a plugin's unit tests take the same path as the
platform. It knows nothing of WebAssembly.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import inspect
import json
from types import ModuleType
from typing import Any, AsyncGenerator, Callable, Generator

from resoftai import _host, _parts
from resoftai._provider import Provider
from resoftai.core.agent import Agent
from resoftai.plugins import base
from resoftai.plugins.errors import PluginError, PluginLoadError, PluginValidationError
from resoftai.plugins.hooks import Registration, marks

_KINDS: list[tuple[type[base.Plugin], str, str]] = [
    (base.AgentPlugin, "agent", "get_agent_role"),
    (base.LLMProviderPlugin, "llm_provider", "get_provider_name"),
    (base.IntegrationPlugin, "integration", "get_integration_name"),
    (base.WorkflowPlugin, "workflow", "get_workflow_name"),
    (base.CodeQualityPlugin, "code_quality", "get_tool_name"),
    (base.TemplatePlugin, "template", "get_template_name"),
]
_LIFE = frozenset({"load", "activate", "deactivate", "unload", "mark_loaded"})


class Runner:
    """One plugin. Every method raises what the plugin raised, or a `PluginError` that says what is wrong."""

    def __init__(self) -> None:
        self._plugin: base.Plugin | None = None
        self._registrations: list[Registration] = []
        self._part: object | None = None
        self._provider: Provider | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def load(self, module: ModuleType, class_name: str, manifest: dict, settings: dict) -> dict[str, Any]:
        """Loads and activates; returns `api`, `tool_name`, `config_schema` and `hooks`."""
        cls = getattr(module, class_name, None)
        if not (isinstance(cls, type) and issubclass(cls, base.Plugin)):
            raise PluginLoadError(
                f"plugin.json names the class {class_name}, but {module.__name__.rpartition('.')[2]}.py has no such "
                "plugin class: correct entry_point, or inherit from a class of resoftai.plugins.base."
            )
        metadata = base.PluginMetadata.from_dict(manifest)
        plugin = cls(metadata, base.PluginConfig(config=_with_defaults(settings, metadata.config_schema)))
        schema = plugin.get_config_schema() or metadata.config_schema
        plugin.config.config = _with_defaults(plugin.config.config, schema)
        if not plugin.validate_config(plugin.config.config):
            raise PluginValidationError(f"{cls.__name__}.validate_config refused the configuration.")
        context = base.PluginContext(metadata.slug or metadata.name, plugin.config.config)
        plugin.context = context
        # The specification's own example says `context.hooks` where it means `self.context.hooks`: let both work.
        module.__dict__.setdefault("context", context)
        self._step(plugin, "load", context)
        plugin.mark_loaded()
        self._step(plugin, "activate")
        plugin.is_active = True
        _register_decorated(plugin, module, context)
        self._plugin, self._registrations = plugin, context.hooks.registrations()
        api, tool_name = _kind(plugin)
        return {
            "api": api,
            "tool_name": tool_name,
            "config_schema": None if schema is None else _to_json(schema, "get_config_schema()"),
            "hooks": [(r.name, r.kind, r.priority) for r in self._registrations],
        }

    def call_hook(self, index: int, payload: str) -> str:
        """Runs the callback at this place of the list `load` returned."""
        plugin = self._alive()
        if index >= len(self._registrations):
            raise PluginError(f"The plugin registered {len(self._registrations)} hooks; there is no number {index}.")
        registration = self._registrations[index]
        active = plugin.context is None or registration in plugin.context.hooks.registrations()
        if not active:
            return payload if registration.kind == "filter" else "null"
        given = json.loads(payload)
        before = dict(given) if isinstance(given, dict) else {}
        value = self._finish(registration.callback(given))
        if registration.kind == "action":
            return "null"
        who = f"The filter {_name_of(registration.callback)} on {registration.name}"
        if value is None:
            raise PluginValidationError(f"{who} returned None: a filter must return the new value.")
        if isinstance(value, dict):
            # Whole files come along with most questions; those that come back as they were need not travel.
            value = {key: field for key, field in value.items() if not (type(field) is str and field is before.get(key))}
        return _to_json(value, who)

    def call_method(self, name: str, args: str, streamed: bool = False) -> str:
        """Calls a public method of the plugin, or of the agent or provider that it brings.

        A method that yields makes text; its answer is all of it, and when `streamed` each piece is passed on at once.
        """
        plugin = self._alive()
        method = None
        if not name.startswith("_") and name not in _LIFE:
            method = getattr(plugin, name, None)
            if not callable(method):
                method = self._method_of_part(plugin, name, streamed)
        if not callable(method):
            raise PluginError(f"The plugin {plugin.metadata.slug} has no method {name}.")
        given = json.loads(args)
        result = method(*given) if isinstance(given, list) else method(**_accepted(method, given))
        answer = self._finish(result)
        if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
            answer = self._gather(answer, _Pieces(f"{name}()", _host.current().emit if streamed else None))
        return _to_json(answer, f"{name}()")

    def unload(self) -> None:
        """Deactivates and unloads; both are tried, the first failure is raised."""
        plugin, self._plugin, self._registrations = self._alive(), None, []
        try:
            self._step(plugin, "deactivate")
        finally:
            plugin.is_active = False
            self._step(plugin, "unload")
            plugin.is_loaded = False
            self.close()

    def close(self) -> None:
        """Lets go of the event loop; what the plugin still had to do in it is dropped."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _alive(self) -> base.Plugin:
        if self._plugin is None:
            raise PluginError("No plugin is loaded.")
        return self._plugin

    def _step(self, plugin: base.Plugin, name: str, *args: Any) -> None:
        answer = self._finish(getattr(plugin, name)(*args))
        # None is what a method without a return statement gives: a slip, not a refusal.
        if answer is not None and not answer:
            raise PluginLoadError(f"{type(plugin).__name__}.{name}() returned {answer!r}: the plugin refused.")

    def _finish(self, result: Any) -> Any:
        if not inspect.isawaitable(result):
            return result
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_wait(result))

    def _gather(self, generator: Any, pieces: _Pieces) -> str:
        if inspect.isgenerator(generator):
            return pieces.all_of(generator)
        return self._finish(pieces.all_of_async(generator))

    def _method_of_part(self, plugin: base.Plugin, name: str, streamed: bool) -> Callable[..., Any] | None:
        if isinstance(plugin, base.AgentPlugin):
            if self._part is None:
                self._part = _parts.agent(plugin)
            if name == "describe":
                return lambda: _describe_agent(self._part, plugin.get_agent_role())
        elif isinstance(plugin, base.LLMProviderPlugin):
            self._provider = self._provider or Provider(plugin)
            if name == "describe":
                return self._provider.describe
            if name == "answer":
                emit = _host.current().emit if streamed else None
                return lambda question: self._provider.answer(question, emit)
            self._part = self._provider.of(None)
        return getattr(self._part, name, None)


async def _wait(awaitable: Any) -> Any:
    return await awaitable


class _Pieces:
    """Gathers what a method yields, passing each piece on when `emit` is given."""

    def __init__(self, who: str, emit: Callable[[str], None] | None) -> None:
        self._who = who
        self._emit = emit
        self._taken: list[str] = []

    def take(self, piece: Any) -> None:
        if not isinstance(piece, str):
            raise PluginValidationError(f"{self._who} yielded {type(piece).__name__}: it must yield text.")
        if self._emit is not None:
            self._emit(piece)
        self._taken.append(piece)

    def all_of(self, generator: Generator[Any, None, None]) -> str:
        with contextlib.closing(generator):
            for piece in generator:
                self.take(piece)
        return "".join(self._taken)

    async def all_of_async(self, generator: AsyncGenerator[Any, None]) -> str:
        async with contextlib.aclosing(generator):
            async for piece in generator:
                self.take(piece)
        return "".join(self._taken)


def _kind(plugin: base.Plugin) -> tuple[str, str | None]:
    for cls, api, name_method in _KINDS:
        if isinstance(plugin, cls):
            name = getattr(plugin, name_method)()
            return api, str(name.value if isinstance(name, enum.Enum) else name)
    return "plugin", None


def _register_decorated(plugin: base.Plugin, module: ModuleType, context: base.PluginContext) -> None:
    methods = [getattr(plugin, n) for n, f in inspect.getmembers(type(plugin)) if marks(f)]
    functions = [f for f in module.__dict__.values() if inspect.isfunction(f) and marks(f)]
    for callback in functions + methods:
        for kind, name, priority in marks(callback):
            register = context.hooks.register_action if kind == "action" else context.hooks.register_filter
            register(name, callback, priority)


def _with_defaults(settings: dict, schema: dict | None) -> dict:
    properties = (schema or {}).get("properties")
    if not isinstance(properties, dict):
        return settings
    defaults = {k: p["default"] for k, p in properties.items() if isinstance(p, dict) and "default" in p}
    return {**defaults, **settings}


def _accepted(method: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return given
    names = {p.name for p in parameters}
    return {key: value for key, value in given.items() if key in names}


def _describe_agent(agent: Any, role: Any) -> dict[str, Any]:
    def plain(name: str, default: Any) -> Any:
        value = getattr(agent, name, default)
        return value() if callable(value) else value

    return {
        "role": role,
        "name": plain("name", type(agent).__name__),
        "system_prompt": plain("system_prompt", ""),
        "capabilities": plain("capabilities", []),
        "responsible_stages": plain("responsible_stages", []),
        "works_by": _own_work(agent),
    }


def _own_work(agent: Any) -> str | None:
    """The method by which an agent does its work itself; None leaves it to the model, under its system prompt."""
    for name in ("handle_task_assignment", "process_request"):
        method = getattr(type(agent), name, None)
        if method is not None and method is not getattr(Agent, name):
            return name
    return None


def _name_of(callback: Callable[..., Any]) -> str:
    return getattr(callback, "__qualname__", repr(callback))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _to_json(value: Any, who: str) -> str:
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise PluginValidationError(f"{who} returned something that JSON cannot express: {error}.") from error
