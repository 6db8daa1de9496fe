"""The plugin interface: `base` (classes to inherit from), `hooks` (places to hang on to), `errors`."""

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
