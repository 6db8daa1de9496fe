"""What a ResoftAI plugin is written against.

A plugin inherits from one of the classes in `resoftai.plugins.base`, registers hooks through its context, and reaches the
world through `resoftai.kv`, `resoftai.http` and `resoftai.llm`. The package has no dependencies and works under plain
CPython, so that a plugin's own unit tests need no platform: see `resoftai.testing`.
"""

__version__ = "0.2.0"
