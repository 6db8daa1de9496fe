"""The one place where the SDK meets the platform.

Inside the sandbox the guest loader installs a host that calls the platform. Everywhere else `LocalHost` answers: logs go
to `logging`, keys live in memory, network and model refuse with a sentence. Nothing else in the SDK may know which it is.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Callable, Protocol

from resoftai.plugins.errors import PluginError

HttpReply = tuple[int, list[tuple[str, str]], bytes]


class HostError(PluginError):
    """The platform refused or could not do what was asked; the text says what and what to do."""


class Host(Protocol):
    """What a plugin may reach. Every method but `log` raises `HostError` with one sentence."""

    def log(self, level: str, message: str) -> None:
        """Writes one line; `level` is debug, info, warning or error."""

    def kv_get(self, key: str) -> str | None:
        """The JSON text kept under `key`."""

    def kv_set(self, key: str, value: str | None) -> None:
        """Keeps JSON text under `key`; None forgets it."""

    def kv_list(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`, sorted."""

    def files_list(self, pattern: str) -> list[str]:
        """Paths of the project's files that fit `pattern`, sorted."""

    def files_read(self, path: str) -> bytes:
        """One file of the project."""

    def files_write(self, path: str, content: bytes) -> None:
        """Writes one file of the project."""

    def files_delete(self, path: str) -> None:
        """Deletes one file of the project."""

    def http_request(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> HttpReply:
        """One exchange with a granted host."""

    def http_open(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> tuple[int, int, list[tuple[str, str]]]:
        """The same up to the head of the reply: the number to read it under, status, headers."""

    def http_next(self, reply: int) -> bytes | None:
        """The next bytes of an open reply; None at its end."""

    def http_close(self, reply: int) -> None:
        """Lets go of an open reply."""

    def llm_complete(self, request: str) -> str:
        """One answer of the site's model, JSON to JSON."""

    def emit(self, piece: str) -> None:
        """Passes on one piece of the answer to a streamed call."""


class LocalHost:
    """Stands in for the platform under plain CPython.

    `http` and `llm` are functions a test may set; without them these two refuse. `files` are those of the project, by
    path; `pieces` collects what a streamed call passed on.
    """

    echo: Callable[[str, str], None] | None = None
    """Told every line of log besides; the sandbox's test runner sets it."""

    def __init__(
        self,
        http: Callable[..., HttpReply] | None = None,
        llm: Callable[[dict], dict] | None = None,
        files: dict[str, bytes] | None = None,
    ) -> None:
        self.kv: dict[str, str] = {}
        self.files: dict[str, bytes] = dict(files or {})
        self.pieces: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self._replies: dict[int, list[bytes]] = {}
        self._http = http
        self._llm = llm

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))
        if self.echo is not None:
            self.echo(level, message)
        elif sys.platform != "wasi":
            # In the sandbox `logging` ends here: a record would come back without end.
            logging.getLogger("resoftai.host").log(getattr(logging, level.upper()), "%s", message)

    def kv_get(self, key: str) -> str | None:
        return self.kv.get(key)

    def kv_set(self, key: str, value: str | None) -> None:
        if value is None:
            self.kv.pop(key, None)
        else:
            self.kv[key] = value

    def kv_list(self, prefix: str) -> list[str]:
        return sorted(key for key in self.kv if key.startswith(prefix))

    def files_list(self, pattern: str) -> list[str]:
        fits = _pattern(pattern)
        return sorted(path for path in self.files if fits.fullmatch(path))

    def files_read(self, path: str) -> bytes:
        if path not in self.files:
            raise HostError(f"The project has no file {path}.")
        return self.files[path]

    def files_write(self, path: str, content: bytes) -> None:
        self.files[path] = content

    def files_delete(self, path: str) -> None:
        self.files_read(path)
        del self.files[path]

    def http_request(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> HttpReply:
        if self._http is None:
            raise HostError("There is no network outside the platform: give resoftai.testing.LocalHost an http function.")
        return self._http(method, url, headers, body, timeout_ms)

    def http_open(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, timeout_ms: int
    ) -> tuple[int, int, list[tuple[str, str]]]:
        status, received, content = self.http_request(method, url, headers, body, timeout_ms)
        number = max(self._replies, default=0) + 1
        self._replies[number] = content.splitlines(keepends=True)
        return number, status, received

    def http_next(self, reply: int) -> bytes | None:
        pieces = self._replies.get(reply)
        return pieces.pop(0) if pieces else None

    def http_close(self, reply: int) -> None:
        self._replies.pop(reply, None)

    def llm_complete(self, request: str) -> str:
        if self._llm is None:
            raise HostError("There is no model outside the platform: give resoftai.testing.LocalHost an llm function.")
        return json.dumps(self._llm(json.loads(request)))

    def emit(self, piece: str) -> None:
        self.pieces.append(piece)


def _pattern(text: str) -> re.Pattern[str]:
    """`?` and `*` stay within one folder's name, `**` is any number of folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", text)
    meaning = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts), re.DOTALL)


_current: Host = LocalHost()


def current() -> Host:
    """The host that answers now."""
    return _current


def install(host: Host) -> Host:
    """Puts another host in place and returns the one before."""
    global _current
    before, _current = _current, host
    return before
