"""Files of the project that the current call is about, as far as the plugin was granted them.

Paths are relative to the project, with `/`. Every function raises `HostError` (a `PluginError`) with one sentence when the
plugin may not, or when the call is about no project. Files are changed only in hooks that tell what a person, a program or
an agent did: not in `analyze_code` and its like, and not when a plugin did it.
"""

from __future__ import annotations

import builtins

from resoftai import _host


def list(pattern: str = "**") -> builtins.list[str]:
    """Paths that fit `pattern`, sorted: `?` and `*` stay within one folder, `**` crosses folders, as in `src/**/*.py`."""
    return _host.current().files_list(pattern)


def read(path: str) -> bytes:
    """The bytes of one file."""
    return _host.current().files_read(path)


def read_text(path: str) -> str:
    """One file as UTF-8. Raises `UnicodeDecodeError` when it is none."""
    return read(path).decode("utf-8")


def write(path: str, content: bytes | str) -> None:
    """Writes one file, new or in the place of what was there; text as UTF-8."""
    _host.current().files_write(path, content.encode("utf-8") if isinstance(content, str) else bytes(content))


def delete(path: str) -> None:
    """Deletes one file. Raises `HostError` when there is none."""
    _host.current().files_delete(path)
