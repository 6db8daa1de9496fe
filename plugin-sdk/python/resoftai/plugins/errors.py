"""The errors of the plugin interface. Their text is shown to administrators: one sentence that says what to do."""


class PluginError(Exception):
    """Something about a plugin went wrong."""


class PluginLoadError(PluginError):
    """The plugin could not be loaded or activated."""


class PluginValidationError(PluginError):
    """The manifest, the configuration or a value given by the plugin is not what the contract asks for."""


class PluginDependencyError(PluginError):
    """A plugin this one depends on is missing or has the wrong version."""


class PluginVersionError(PluginError):
    """The plugin does not fit this version of the platform."""
