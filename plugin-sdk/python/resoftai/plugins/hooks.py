"""Hooks: the places where the platform asks plugins.

An action is told that something happened and returns nothing. A filter is given a value and returns the new value. Lower
priority runs first, over all plugins. Callbacks may be plain functions or coroutines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from resoftai.plugins.errors import PluginValidationError

Callback = Callable[..., Any]
F = TypeVar("F", bound=Callback)

DEFAULT_PRIORITY = 10
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_MARK = "_resoftai_hooks"


class Hooks:
    """The names of all hooks the platform fires."""

    PROJECT_CREATE_BEFORE = "project.create.before"
    PROJECT_CREATE_AFTER = "project.create.after"
    PROJECT_UPDATE_BEFORE = "project.update.before"
    PROJECT_UPDATE_AFTER = "project.update.after"
    PROJECT_DELETE_BEFORE = "project.delete.before"
    PROJECT_DELETE_AFTER = "project.delete.after"
    PROJECT_EXECUTE_START = "project.execute.start"
    PROJECT_EXECUTE_COMPLETE = "project.execute.complete"
    FILE_CREATE_BEFORE = "file.create.before"
    FILE_CREATE_AFTER = "file.create.after"
    FILE_UPDATE_BEFORE = "file.update.before"
    FILE_UPDATE_AFTER = "file.update.after"
    FILE_DELETE_BEFORE = "file.delete.before"
    FILE_DELETE_AFTER = "file.delete.after"
    AGENT_START = "agent.start"
    AGENT_COMPLETE = "agent.complete"
    AGENT_ERROR = "agent.error"
    CODE_ANALYZE = "code.analyze"
    CODE_FORMAT = "code.format"
    CODE_LINT = "code.lint"
    LLM_REQUEST_BEFORE = "llm.request.before"
    LLM_REQUEST_AFTER = "llm.request.after"
    LLM_ERROR = "llm.error"
    USER_LOGIN = "user.login"
    USER_LOGOUT = "user.logout"
    USER_REGISTER = "user.register"
    FILTER_PROJECT_REQUIREMENTS = "filter.project.requirements"
    FILTER_CODE_CONTENT = "filter.code.content"
    FILTER_LLM_PROMPT = "filter.llm.prompt"
    FILTER_LLM_RESPONSE = "filter.llm.response"


@dataclass(frozen=True)
class Registration:
    """One callback on one hook."""

    name: str
    kind: str
    """`action` or `filter`."""
    priority: int
    callback: Callback


class HookManager:
    """The callbacks of one plugin, in the order of registration."""

    def __init__(self) -> None:
        self._registrations: list[Registration] = []

    def register_action(self, name: str, callback: Callback, priority: int = DEFAULT_PRIORITY) -> None:
        """Have `callback(payload)` called when `name` happens."""
        self._register(name, "action", callback, priority)

    def register_filter(self, name: str, callback: Callback, priority: int = DEFAULT_PRIORITY) -> None:
        """Have `callback(value)` called for `name`; what it returns is the new value."""
        self._register(name, "filter", callback, priority)

    def unregister_action(self, name: str, callback: Callback) -> bool:
        """Takes an action back; False when it was not registered."""
        return self._unregister(name, "action", callback)

    def unregister_filter(self, name: str, callback: Callback) -> bool:
        """Takes a filter back; False when it was not registered."""
        return self._unregister(name, "filter", callback)

    def has_hook(self, name: str) -> bool:
        """Whether this plugin registered anything for `name`."""
        return any(r.name == name for r in self._registrations)

    def list_hooks(self) -> dict[str, int]:
        """How many callbacks this plugin registered, by hook."""
        return {r.name: sum(other.name == r.name for other in self._registrations) for r in self._registrations}

    def registrations(self) -> list[Registration]:
        """All callbacks, in the order of registration."""
        return list(self._registrations)

    def _register(self, name: str, kind: str, callback: Callback, priority: int) -> None:
        if not isinstance(name, str) or not name:
            raise PluginValidationError(f"A hook's name is a text such as 'code.analyze', not {name!r}.")
        if not callable(callback):
            raise PluginValidationError(f"The callback for the hook {name} must be a function, not {callback!r}.")
        if isinstance(priority, bool) or not isinstance(priority, int) or not _LOWEST <= priority <= _HIGHEST:
            raise PluginValidationError(f"The priority for the hook {name} must be a 32-bit integer, not {priority!r}.")
        self._registrations.append(Registration(name, kind, priority, callback))

    def _unregister(self, name: str, kind: str, callback: Callback) -> bool:
        before = len(self._registrations)
        self._registrations = [
            r for r in self._registrations if not (r.name == name and r.kind == kind and r.callback == callback)
        ]
        return len(self._registrations) < before


def action(name: str, priority: int = DEFAULT_PRIORITY) -> Callable[[F], F]:
    """Decorator: registers a function or a plugin's method as an action when the plugin is activated."""
    return _mark("action", name, priority)


def filter(name: str, priority: int = DEFAULT_PRIORITY) -> Callable[[F], F]:
    """Decorator: registers a function or a plugin's method as a filter when the plugin is activated."""
    return _mark("filter", name, priority)


# The names of the earlier Python product.
action_hook, filter_hook = action, filter


def marks(function: object) -> list[tuple[str, str, int]]:
    """What the decorators wrote on a function: (kind, name, priority)."""
    found = getattr(function, _MARK, [])
    return list(found) if isinstance(found, list) else []


def _mark(kind: str, name: str, priority: int) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        setattr(function, _MARK, [*marks(function), (kind, name, priority)])
        return function

    return decorate
