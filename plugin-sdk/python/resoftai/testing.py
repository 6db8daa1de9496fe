"""Runs a plugin's folder under plain CPython, for the plugin's own unit tests.

    plugin = LoadedPlugin("path/to/my-plugin", {"severity_threshold": "high"})
    value = plugin.apply_filter("code.analyze", {"code": "eval(x)", "language": "python"})

There is no sandbox here: what works in a test but opens files or sockets is still refused on the platform.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from resoftai import _host
from resoftai._host import LocalHost
from resoftai._runner import Runner

__all__ = ["LoadedPlugin", "LocalHost"]


class LoadedPlugin:
    """One activated plugin. `host` shows what it logged and kept."""

    def __init__(
        self, folder: str | Path, settings: dict[str, Any] | None = None, host: LocalHost | None = None
    ) -> None:
        self.host = host or LocalHost()
        self._runner = Runner()
        folder = Path(folder)
        manifest = json.loads((folder / "plugin.json").read_text(encoding="utf-8"))
        file, _, class_name = manifest["entry_point"].partition(":")
        before = _host.install(self.host)
        try:
            module = _import(folder, file, manifest["slug"])
            loaded = self._runner.load(module, class_name, manifest, dict(settings or {}))
        finally:
            _host.install(before)
        self.api: str = loaded["api"]
        self.tool_name: str | None = loaded["tool_name"]
        self.hooks: list[tuple[str, str, int]] = loaded["hooks"]

    def apply_filter(self, name: str, value: Any) -> Any:
        """What the plugin's filters on `name` make of `value`."""
        for index, (hook, kind, _) in sorted(enumerate(self.hooks), key=lambda h: h[1][2]):
            if (hook, kind) == (name, "filter"):
                value = json.loads(self._call(self._runner.call_hook, index, json.dumps(value)))
        return value

    def do_action(self, name: str, payload: Any) -> None:
        """Tells the plugin's actions on `name`."""
        for index, (hook, kind, _) in sorted(enumerate(self.hooks), key=lambda h: h[1][2]):
            if (hook, kind) == (name, "action"):
                self._call(self._runner.call_hook, index, json.dumps(payload))

    def call(self, method: str, **arguments: Any) -> Any:
        """Calls a method as the platform does."""
        return json.loads(self._call(self._runner.call_method, method, json.dumps(arguments)))

    def unload(self) -> None:
        """Deactivates and unloads."""
        self._call(self._runner.unload)

    def _call(self, function: Any, *arguments: Any) -> Any:
        before = _host.install(self.host)
        try:
            return function(*arguments)
        finally:
            _host.install(before)


def _import(folder: Path, file: str, slug: str) -> ModuleType:
    package_name = "plugin_" + slug.replace("-", "_")
    package = ModuleType(package_name)
    package.__path__ = [str(folder)]
    sys.modules[package_name] = package
    name = f"{package_name}.{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, folder / file)
    if spec is None or spec.loader is None:
        raise ImportError(f"plugin.json names {file}, which is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
