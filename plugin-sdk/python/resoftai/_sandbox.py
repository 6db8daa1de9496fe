"""What the standard library does in the sandbox, where there are no files, processes, threads or sockets.

`prepare` is called once, when the runtime is built; `open_package` in each instance. Reading works for the plugin's own
package, so that `open(Path(__file__).parent / "words.txt")` runs unchanged; everything else fails with a sentence that
names what to use instead. Nothing here is used under plain CPython.
"""

from __future__ import annotations

import asyncio
import builtins
import errno
import io
import os
import posixpath
import socket
import stat
import subprocess
import threading
import urllib.error
import urllib.request
from email.message import Message
from typing import Any, Callable, Iterator, NoReturn

from resoftai import http
from resoftai._host import HostError

_NO_FILES = (
    "There are no host files in the sandbox. open() reads the plugin's own package; use resoftai.files for the project's "
    "files (capabilities.files), and context.set_data or resoftai.kv to keep data"
)
_NO_PROCESSES = (
    "There are no processes in the sandbox, so no command can be run. Do the work in Python, or have a service do it and "
    "ask it with resoftai.http (capabilities.http)"
)
_NO_THREADS = "There are no threads in the sandbox. Call the function itself, or use asyncio: gather and to_thread work"
_NO_SOCKETS = (
    "There are no sockets in the sandbox. Use resoftai.http, or requests, httpx or aiohttp, with a host that "
    "capabilities.http names and an administrator granted"
)
_MISSING = {
    "ssl": "TLS is made by the platform, by the site's own trust: use resoftai.http with an https address.",
    "multiprocessing": _NO_PROCESSES + ".",
    "ctypes": "Compiled code cannot be loaded into the sandbox: use a library in pure Python.",
    "bz2": "The sandbox has gzip and zlib, but not bz2.",
    "lzma": "The sandbox has gzip and zlib, but not lzma.",
    "numpy": "It holds compiled code, which the sandbox cannot run: use a library in pure Python.",
    "pandas": "It holds compiled code, which the sandbox cannot run: use csv, json or sqlite3 in memory.",
    "pydantic": "It holds compiled code, which the sandbox cannot run: use dataclasses.",
}

_slug = ""
_paths: frozenset[str] = frozenset()
_folders: frozenset[str] = frozenset()
_read: Callable[[str], bytes] | None = None
_open, _stat, _listdir, _scandir = builtins.open, os.stat, os.listdir, os.scandir


def prepare() -> None:
    """Puts the replacements in their places."""
    builtins.open = io.open = open_file  # type: ignore[assignment]
    os.stat = os.lstat = stat_file  # type: ignore[assignment]
    os.listdir, os.scandir = list_folder, scan_folder  # type: ignore[assignment]
    os.system = os.popen = os.fork = _refuse_process  # type: ignore[assignment]
    subprocess.Popen.__init__ = _refuse_process  # type: ignore[method-assign]
    asyncio.create_subprocess_exec = asyncio.create_subprocess_shell = _refuse_async_process  # type: ignore[assignment]
    threading.Thread.start = _refuse_thread  # type: ignore[method-assign]
    socket.socket.__init__ = _refuse_socket  # type: ignore[method-assign]
    socket.create_connection = socket.getaddrinfo = _refuse_socket  # type: ignore[assignment]
    urllib.request.urlopen = urlopen  # type: ignore[assignment]


def open_package(paths: list[str], read: Callable[[str], bytes], slug: str) -> None:
    """Makes the plugin's own files readable as `<slug>/<path>`, which is what its `__file__` begins with."""
    global _slug, _paths, _folders, _read
    _slug, _paths, _read = slug, frozenset(paths), read
    _folders = frozenset(path[:at] for path in paths for at, char in enumerate(path) if char == "/") | {""}


def paths() -> list[str]:
    """The paths of the plugin's package, sorted."""
    return sorted(_paths)


def is_own(file: str) -> bool:
    """Whether a traceback's file is one of the plugin's."""
    return file.startswith(f"{_slug}/")


def explain(error: BaseException) -> str:
    """What else an author should know about an error; empty when nothing."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    # Of `ssl` and the like only the compiled part, `_ssl`, is missing.
    top = error.name.partition(".")[0].lstrip("_")
    carry = "A library in pure Python can be carried along: put its wheel into the plugin's wheels folder and pack it."
    return _MISSING.get(top, "" if top == _slug else carry)


def _inside(path: Any) -> str | None:
    """The path within the package; None for what lies elsewhere."""
    text = os.fsdecode(path)
    text = posixpath.normpath(text).lstrip("/")
    if text == _slug:
        return ""
    return text[len(_slug) + 1 :] if _slug and text.startswith(_slug + "/") else None


def open_file(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """`open` for the plugin's own package."""
    if isinstance(file, int):
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if any(char in mode for char in "wax+"):
        raise PermissionError(errno.EACCES, _NO_FILES, os.fsdecode(file))
    inside = _inside(file)
    if inside in _folders:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(file))
    if inside is None or inside not in _paths or _read is None:
        raise FileNotFoundError(errno.ENOENT, _NO_FILES, os.fsdecode(file))
    raw = io.BytesIO(_read(inside))
    return raw if "b" in mode else io.TextIOWrapper(raw, encoding or "utf-8", errors, newline)


def stat_file(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
    """`os.stat` for the plugin's own package."""
    inside = None if isinstance(path, int) else _inside(path)
    if inside is None:
        return _stat(path, *args, **kwargs)
    if inside in _folders:
        return os.stat_result((stat.S_IFDIR | 0o555, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    if inside not in _paths or _read is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
    return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, len(_read(inside)), 0, 0, 0))


def list_folder(path: Any = ".") -> list[str]:
    """`os.listdir` for the plugin's own package."""
    inside = None if isinstance(path, int) else _inside(path)
    if inside is None:
        return _listdir(path)
    if inside not in _folders:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
    start = f"{inside}/" if inside else ""
    return sorted({name[len(start) :].partition("/")[0] for name in _paths if name.startswith(start)})


class _Entry:
    """What `os.scandir` gives, as far as `pathlib`, `glob` and `os.walk` use it."""

    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self.path = posixpath.join(folder, name)

    def __fspath__(self) -> str:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return _inside(self.path) in _folders

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return _inside(self.path) in _paths

    def is_symlink(self) -> bool:
        return False

    def is_junction(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return stat_file(self.path)


class _Scan:
    def __init__(self, entries: list[_Entry]) -> None:
        self._entries = iter(entries)

    def __enter__(self) -> Iterator[_Entry]:
        return self._entries

    def __exit__(self, *args: object) -> None:
        pass

    def __iter__(self) -> Iterator[_Entry]:
        return self._entries

    def __next__(self) -> _Entry:
        return next(self._entries)

    def close(self) -> None:
        """There is nothing to close."""


def scan_folder(path: Any = ".") -> Any:
    """`os.scandir` for the plugin's own package."""
    if isinstance(path, int) or _inside(path) is None:
        return _scandir(path)
    return _Scan([_Entry(os.fsdecode(path), name) for name in list_folder(path)])


def _refuse_process(*args: Any, **kwargs: Any) -> NoReturn:
    # As where the program is not installed, which plugins that run tools are prepared for.
    raise FileNotFoundError(errno.ENOENT, _NO_PROCESSES)


async def _refuse_async_process(*args: Any, **kwargs: Any) -> NoReturn:
    _refuse_process()


def _refuse_thread(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError(_NO_THREADS + ".")


def _refuse_socket(*args: Any, **kwargs: Any) -> NoReturn:
    raise PermissionError(_NO_SOCKETS + ".")


class _Reply(io.BytesIO):
    """What `urlopen` returns."""

    def __init__(self, reply: http.Response) -> None:
        super().__init__(reply.body)
        self.status = self.code = reply.status
        self.url = reply.url
        self.headers = Message()
        for name, value in reply.headers.items():
            self.headers[name] = value

    def getcode(self) -> int:
        return self.status

    def geturl(self) -> str:
        return self.url

    def info(self) -> Message:
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        return self.headers.get(name, default)


def urlopen(url: Any, data: bytes | None = None, timeout: Any = None, **_: Any) -> _Reply:
    """`urllib.request.urlopen` over `resoftai.http`."""
    request = url if isinstance(url, urllib.request.Request) else urllib.request.Request(url)
    body = data if data is not None else request.data
    method = "POST" if body is not None and request.get_method() == "GET" else request.get_method()
    headers = {**request.headers, **request.unredirected_hdrs}
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    seconds = float(timeout) if isinstance(timeout, (int, float)) else http.DEFAULT_TIMEOUT
    try:
        reply = http.request(method, request.full_url, headers=headers, body=body, timeout=seconds)  # type: ignore[arg-type]
    except HostError as error:
        raise urllib.error.URLError(str(error)) from error
    answer = _Reply(reply)
    if reply.status >= 400:
        raise urllib.error.HTTPError(reply.url, reply.status, f"status {reply.status}", answer.headers, answer)
    return answer
