"""Runs a plugin's folder in a test: under plain CPython, or in the real sandbox with `resoftai plugin test`.

    plugin = LoadedPlugin("path/to/my-plugin", {"severity_threshold": "high"})
    value = plugin.apply_filter("code.analyze", {"code": "eval(x)", "language": "python"})

Under plain CPython there is no sandbox: what opens files or sockets there is still refused on the platform. `requests`,
`httpx` and `aiohttp` are the SDK's own in both, so that a test sees what the plugin sends:

    web = FakeHttp({"POST https://hooks.example.org/a": {"ok": True}})
    plugin = LoadedPlugin(FOLDER, {"webhook_url": "https://hooks.example.org/a"}, LocalHost(http=web))
    plugin.call("send_notification", event="project.created", data={"name": "Shop"})
    assert web.requests[0].json()["text"] == "Shop was created."
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from resoftai import _host, shims
from resoftai._host import HostError, LocalHost
from resoftai._runner import Runner

__all__ = ["FakeHttp", "LoadedPlugin", "LocalHost", "SentRequest"]

_IN_SANDBOX = sys.platform == "wasi"

if not _IN_SANDBOX:
    shims.install(first=True)


@dataclass(frozen=True)
class SentRequest:
    """A request that a plugin made."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class FakeHttp:
    """Stands in for the network: `LocalHost(http=FakeHttp({...}))`.

    Keys are `METHOD URL`, or `METHOD URL*` for all that begin so; values are the reply's body (bytes, text, or anything
    JSON can express), or `(status, body)`. Any other request is refused as one to a host that was not granted.
    """

    def __init__(self, replies: dict[str, Any]) -> None:
        self.replies = replies
        self.requests: list[SentRequest] = []

    def __call__(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        wanted = f"{method} {url}"
        begun = [key for key in self.replies if key.endswith("*") and wanted.startswith(key[:-1])]
        if wanted not in self.replies and not begun:
            raise HostError(f"Denied: this test has no reply for {wanted}.")
        self.requests.append(SentRequest(method, url, {k.lower(): v for k, v in headers}, bytes(body)))
        reply = self.replies[wanted if wanted in self.replies else max(begun, key=len)]
        status, content = reply if isinstance(reply, tuple) else (200, reply)
        if isinstance(content, bytes):
            return status, [], content
        if isinstance(content, str):
            return status, [("content-type", "text/plain; charset=utf-8")], content.encode()
        return status, [("content-type", "application/json")], json.dumps(content).encode()


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
                answer = json.loads(self._call(self._runner.call_hook, index, json.dumps(value)))
                value = {**value, **answer} if isinstance(value, dict) and isinstance(answer, dict) else answer
        return value

    def do_action(self, name: str, payload: Any) -> None:
        """Tells the plugin's actions on `name`."""
        for index, (hook, kind, _) in sorted(enumerate(self.hooks), key=lambda h: h[1][2]):
            if (hook, kind) == (name, "action"):
                self._call(self._runner.call_hook, index, json.dumps(payload))

    def call(self, method: str, **arguments: Any) -> Any:
        """Calls a method as the platform does."""
        return json.loads(self._call(self._runner.call_method, method, json.dumps(arguments)))

    def stream(self, method: str, **arguments: Any) -> list[str]:
        """Calls a method as the platform does when somebody reads along; the pieces it passed on."""
        self.host.pieces.clear()
        self._call(self._runner.call_method, method, json.dumps(arguments), True)
        return list(self.host.pieces)

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
    for name in [name for name in sys.modules if name.startswith(package_name + ".")]:
        del sys.modules[name]
    if not _IN_SANDBOX:
        package = ModuleType(package_name)
        package.__path__ = [str(folder)]
        sys.modules[package_name] = package
        # As in the sandbox: modules beside plugin.json by their bare names too, and the libraries the plugin carries.
        for path in (str(folder), str(folder / "vendor")):
            if path not in sys.path:
                sys.path.append(path)
    if not (folder / file).is_file():
        raise ImportError(f"plugin.json names {file}, which is not there.")
    return importlib.import_module(f"{package_name}.{file.removesuffix('.py').replace('/', '.')}")
