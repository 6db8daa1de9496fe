"""The plugin interface: `base` (classes to inherit from), `hooks` (places to hang on to), `errors`.

What `base` and `hooks` hold can be imported from here as well.
"""

from __future__ import annotations

import importlib
from typing import Any

from resoftai.plugins.errors import (
    PluginDependencyError,
    PluginError,
    PluginLoadError,
    PluginValidationError,
    PluginVersionError,
)

__all__ = [
    "PluginDependencyError",
    "PluginError",
    "PluginLoadError",
    "PluginValidationError",
    "PluginVersionError",
]


def __getattr__(name: str) -> Any:
    for module in ("base", "hooks"):
        found = importlib.import_module(f"{__name__}.{module}")
        if not name.startswith("_") and hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
