"""Small data that outlives the plugin's instance: any JSON value under a key of this plugin alone.

The manifest's `capabilities.kv` sets how many bytes all values together may take.
"""

from __future__ import annotations

import json
from typing import Any

from resoftai import _host


def get(key: str, default: Any = None) -> Any:
    """The value kept under `key`, or `default`."""
    kept = _host.current().kv_get(key)
    return default if kept is None else json.loads(kept)


def set(key: str, value: Any) -> None:
    """Keeps `value` under `key`. Raises `HostError` when the plugin's space is used up."""
    _host.current().kv_set(key, json.dumps(value))


def delete(key: str) -> None:
    """Forgets `key`; nothing happens when it was not there."""
    _host.current().kv_set(key, None)


def keys(prefix: str = "") -> list[str]:
    """The keys that begin with `prefix`, sorted. Raises `HostError` for more than 10,000 of them."""
    return _host.current().kv_list(prefix)
