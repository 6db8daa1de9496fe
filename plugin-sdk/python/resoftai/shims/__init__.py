"""Stand-ins for the client libraries that plugins commonly import: `requests`, `httpx`, `aiohttp`.

They cover what webhook code does: plain requests with JSON, forms, headers and basic authentication, over
`resoftai.http`. What they do not cover says so. A library of the same name that the plugin carries in `vendor/` wins.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib import abc
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAMES = {
    "aiohttp": "resoftai.shims.aiohttp",
    "httpx": "resoftai.shims.httpx",
    "requests": "resoftai.shims.requests",
    "requests.auth": "resoftai.shims.requests",
    "requests.exceptions": "resoftai.shims.requests",
}


class ShimFinder(abc.MetaPathFinder, abc.Loader):
    """Finds the stand-ins under the libraries' names."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname not in NAMES:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=fullname in ("requests",))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        real = importlib.import_module(NAMES[spec.name])
        module = ModuleType(spec.name, real.__doc__)
        module.__dict__.update({k: v for k, v in vars(real).items() if not k.startswith("__")})
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def install(first: bool = False) -> None:
    """Makes the stand-ins importable; `first` puts them before libraries that are really there."""
    if not any(isinstance(finder, ShimFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0 if first else len(sys.meta_path), ShimFinder())
