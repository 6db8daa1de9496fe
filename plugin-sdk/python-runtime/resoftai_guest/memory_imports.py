"""Imports without files: the standard library out of memory, the plugin out of its package.

`freeze` runs when the runtime is built, while the standard library can still be read: it compiles all of it into a
dictionary and then takes every path to a file out of the import system. `open_package` runs in each instance.
"""

import contextlib
import importlib
import importlib.util
import io
import linecache
import marshal
import os
import sys
import warnings
from importlib import abc
from importlib.machinery import BuiltinImporter, FrozenImporter
from importlib.resources.abc import TraversableResources

from resoftai.plugins.errors import PluginLoadError

_SKIP = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "__pycache__"}
# The build tool offers whatever packages the building machine's Python has: only these belong to the runtime.
_OURS = {"resoftai", "resoftai_guest", "tzdata"}
_OURS |= {"wit_world", "componentize_py_types", "componentize_py_async_support", "poll_loop"}
# What plugins commonly import: loaded at build time, so that it costs nothing later.
_HOT = """
    abc argparse array ast asyncio base64 binascii bisect calendar codecs collections collections.abc contextlib copy csv
    dataclasses datetime decimal difflib email.message email.utils enum fnmatch fractions functools gzip hashlib heapq hmac
    html html.parser http inspect io itertools json keyword linecache logging math numbers operator os pathlib pickle
    platform posixpath pprint queue random re secrets shlex shutil socket stat statistics string struct subprocess
    tempfile textwrap threading time timeit token tokenize tomllib traceback types typing unicodedata unittest urllib.error
    urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo
""".split()


# What tracebacks show instead of a folder for the files of the runtime itself.
ROOT = "<runtime>/"


class _Source:
    """Modules by dotted name: (code as marshalled bytes or None, is a package, shown file name)."""

    def __init__(self):
        self.modules = {}
        self.data = {}


class StdlibFinder(abc.MetaPathFinder, abc.InspectLoader):
    """Standard library, SDK and tzdata, compiled when the runtime was built."""

    def __init__(self, source):
        self._source = source

    def find_spec(self, fullname, path=None, target=None):
        found = self._source.modules.get(fullname)
        if found is None:
            return None
        _, is_package, file = found
        spec = importlib.util.spec_from_loader(fullname, self, origin=file, is_package=is_package)
        spec.has_location = False
        return spec

    def get_code(self, fullname):
        return marshal.loads(self._source.modules[fullname][0])

    def get_source(self, fullname):
        return None

    def is_package(self, fullname):
        return self._source.modules[fullname][1]

    def get_resource_reader(self, fullname):
        return _Reader(self._source.data, fullname.replace(".", "/") + "/")


class _Reader(TraversableResources):
    """Package data (tzdata) for `importlib.resources`."""

    def __init__(self, data, prefix):
        self._data = data
        self._prefix = prefix

    def files(self):
        return _Entry(self._data, self._prefix.rstrip("/"))


class _Entry:
    """One file or folder of package data; the part of `Traversable` that readers use."""

    def __init__(self, data, path):
        self._data = data
        self._path = path

    @property
    def name(self):
        return self._path.rpartition("/")[2]

    def is_file(self):
        return self._path in self._data

    def is_dir(self):
        return any(path.startswith(self._path + "/") for path in self._data)

    def iterdir(self):
        start = self._path + "/"
        names = {path[len(start):].split("/")[0] for path in self._data if path.startswith(start)}
        return iter(_Entry(self._data, start + name) for name in sorted(names))

    def joinpath(self, *parts):
        return _Entry(self._data, "/".join((self._path, *map(str, parts))))

    __truediv__ = joinpath

    def read_bytes(self):
        if self._path not in self._data:
            raise FileNotFoundError(self._path)
        return self._data[self._path]

    def read_text(self, encoding="utf-8", errors="strict"):
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode="r", *args, **kwargs):
        raw = io.BytesIO(self.read_bytes())
        return raw if "b" in mode else io.TextIOWrapper(raw, *args, **kwargs)


class _PluginData:
    """The plugin's files as the dictionary that `_Entry` looks into."""

    def __init__(self, paths, read):
        self._paths = paths
        self._read = read

    def __contains__(self, path):
        return path in self._paths

    def __iter__(self):
        return iter(self._paths)

    def __getitem__(self, path):
        return self._read(path)


class PluginFinder(abc.MetaPathFinder, abc.InspectLoader):
    """The plugin's own files: as `plugin_<slug>.x` for relative imports, and by bare name, also out of `vendor/`."""

    def __init__(self):
        self.package = None
        self._slug = ""
        self._paths = frozenset()
        self._read = None

    def open(self, paths, read, slug):
        self.package = "plugin_" + slug.replace("-", "_")
        self._slug, self._paths, self._read = slug, frozenset(paths), read

    def _locate(self, fullname):
        """(path in the package, is a package); the path is empty for a folder without `__init__.py`."""
        if fullname == self.package:
            return ("__init__.py" if "__init__.py" in self._paths else ""), True
        inner = fullname.removeprefix(f"{self.package}.")
        stems = [inner.replace(".", "/")]
        if inner == fullname:
            stems.append("vendor/" + stems[0])
        for stem in stems:
            if f"{stem}/__init__.py" in self._paths:
                return f"{stem}/__init__.py", True
            if f"{stem}.py" in self._paths:
                return f"{stem}.py", False
            if any(path.startswith(stem + "/") and path.endswith(".py") for path in self._paths):
                return "", True
        return None

    def find_spec(self, fullname, path=None, target=None):
        found = self._locate(fullname) if self._read else None
        if found is None:
            return None
        origin = f"{self._slug}/{found[0]}"
        return importlib.util.spec_from_loader(fullname, self, origin=origin, is_package=found[1])

    def is_package(self, fullname):
        return self._locate(fullname)[1]

    def get_source(self, fullname):
        path, _ = self._locate(fullname)
        if not path:
            return ""
        return importlib.util.decode_source(self._read(path))

    def get_code(self, fullname):
        text = self.get_source(fullname)
        file = f"{self._slug}/{self._locate(fullname)[0]}"
        # Tracebacks then show the author's line; None as the time tells linecache not to look for a file.
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        return compile(text, file, "exec", dont_inherit=True)

    def get_data(self, path):
        """For `pkgutil.get_data`: `path` begins as a module's `__file__` does."""
        inside = path.removeprefix(f"{self._slug}/")
        if inside not in self._paths:
            raise FileNotFoundError(path)
        return self._read(inside)

    def get_resource_reader(self, fullname):
        path, is_package = self._locate(fullname)
        folder = path.removesuffix("__init__.py") if path else fullname.removeprefix(f"{self.package}.").replace(".", "/") + "/"
        return _Reader(_PluginData(self._paths, self._read), folder) if is_package else None

    def exec_module(self, module):
        path, _ = self._locate(module.__name__)
        module.__file__ = f"{self._slug}/{path}"
        super().exec_module(module)


_plugin = PluginFinder()


def freeze():
    """Takes everything importable into memory and then forgets that there are files."""
    source = _collect()
    for name in _HOT:
        # Parts of the standard library are absent from WebAssembly.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    stdlib = StdlibFinder(source)
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, stdlib, _plugin]
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()
    linecache.clearcache()


def open_package(paths, read, slug):
    """Makes the plugin's files importable."""
    _plugin.open(paths, read, slug)


def import_entry(file):
    """Imports the file that `entry_point` names."""
    name = file.removesuffix(".py").replace("/", ".")
    if _plugin._locate(f"{_plugin.package}.{name}") is None:
        raise PluginLoadError(f"plugin.json names {file} as entry_point, but the package has no such file.")
    return importlib.import_module(f"{_plugin.package}.{name}")


def _collect():
    source = _Source()
    for root in [path for path in sys.path if os.path.isdir(path)]:
        stdlib = os.path.exists(os.path.join(root, "os.py"))
        for folder, folders, files in os.walk(root):
            relative = os.path.relpath(folder, root).replace(os.sep, "/")
            if relative == ".":
                prefix = ""
                folders[:] = [name for name in folders if stdlib or name in _OURS]
                files = [name for name in files if stdlib or name.removesuffix(".py") in _OURS]
            else:
                prefix = relative + "/"
            folders[:] = [name for name in folders if name not in _SKIP and "-" not in name]
            for file in files:
                _take(source, os.path.join(folder, file), prefix + file)
    return source


def _take(source, real, path):
    with open(real, "rb") as opened:
        content = opened.read()
    if not path.endswith(".py"):
        if path.startswith("tzdata/"):
            source.data[path] = content
        return
    stem = path.removesuffix(".py")
    is_package = stem == "__init__" or stem.endswith("/__init__")
    name = stem.removesuffix("/__init__").replace("/", ".")
    if name in source.modules or name == "__init__":
        return
    try:
        with warnings.catch_warnings(action="ignore"):
            code = compile(content, ROOT + path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        return
    source.modules[name] = (marshal.dumps(code), is_package, ROOT + path)
