"""The component's exports: what the platform calls, answered by the plugin's own Python files.

Imported once when the runtime is built; the memory after this import is what every instance starts from. Whatever is
imported or cached here costs nothing at run time, and whatever is random or secret must not be made here.
"""

import gc
import json
import logging
import os
import random
import sys
import traceback

from componentize_py_types import Err, Ok, Result, Some  # noqa: F401 (the bindings look them up)
from resoftai import _host, _sandbox, shims
from resoftai._runner import Runner
from resoftai.plugins.errors import PluginLoadError
from wit_world.imports import host as wit
from wit_world.imports import types

from . import eventloop, memory_imports, output

_LOG_LIMIT = 16 * 1024
# Our own files, as loaded while the runtime was built and as loaded from its memory.
_HIDDEN = (
    *(os.path.dirname(module.__file__) + "/" for module in (eventloop, _host)),
    memory_imports.ROOT + "resoftai",
)


class WitHost:
    """`resoftai._host.Host` over the component's imports."""

    def log(self, level, message):
        wit.log(wit.Level[level.upper()], message[:_LOG_LIMIT])

    def kv_get(self, key):
        return _ask(wit.kv_get, key)

    def kv_set(self, key, value):
        _ask(wit.kv_set, key, value)

    def kv_list(self, prefix):
        return list(_ask(wit.kv_list, prefix))

    def files_list(self, pattern):
        return list(_ask(wit.files_list, pattern))

    def files_read(self, path):
        return bytes(_ask(wit.files_read, path))

    def files_write(self, path, content):
        _ask(wit.files_write, path, content)

    def files_delete(self, path):
        _ask(wit.files_delete, path)

    def http_request(self, method, url, headers, body, timeout_ms):
        reply = _ask(wit.http_request, wit.Request(method, url, headers, body, timeout_ms))
        return reply.status, list(reply.headers), bytes(reply.body)

    def http_open(self, method, url, headers, body, timeout_ms):
        number, reply = _ask(wit.http_open, wit.Request(method, url, headers, body, timeout_ms))
        return number, reply.status, list(reply.headers)

    def http_next(self, reply):
        piece = _ask(wit.http_next, reply)
        return None if piece is None else bytes(piece)

    def http_close(self, reply):
        wit.http_close(reply)

    def llm_complete(self, request):
        return _ask(wit.llm_complete, request)

    def emit(self, piece):
        _ask(wit.emit, piece)


def _ask(function, *arguments):
    try:
        return function(*arguments)
    except Err as error:
        raise _host.HostError(str(error.value)) from None


_runner = Runner()


def _guarded(function, *arguments):
    """What the plugin raises becomes data; SystemExit and the like too, for they must not end the instance."""
    try:
        return function(*arguments)
    except MemoryError:
        raise Err(types.Raised("The plugin needed more memory than its limit.", "")) from None
    except BaseException as error:
        raise Err(types.Raised(_sentence(error), _traceback(error))) from None


def _sentence(error):
    text = f"{str(error)[:2000]} {_sandbox.explain(error)}".strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _traceback(error):
    """Without the loader's and the SDK's own frames: the author's lines are what counts."""
    summary = traceback.TracebackException.from_exception(error, limit=-40)
    for part in _chain(summary):
        kept = [frame for frame in part.stack if not frame.filename.startswith(_HIDDEN)]
        part.stack[:] = kept
    return "".join(summary.format())[:_LOG_LIMIT]


def _chain(summary):
    seen = 0
    while summary is not None and seen < 10:
        yield summary
        seen += 1
        summary = summary.__cause__ or summary.__context__


def _read(path):
    return bytes(_ask(wit.package_read, path))


def _load(manifest, config):
    random.seed()
    manifest = json.loads(manifest)
    entry, _, class_name = manifest.get("entry_point", "").partition(":")
    if not entry.endswith(".py") or not class_name:
        raise PluginLoadError(
            f"entry_point is {manifest.get('entry_point')!r}: a Python plugin needs 'file.py:ClassName' in plugin.json."
        )
    paths = wit.package_list()
    memory_imports.open_package(paths, _read, manifest["slug"])
    _sandbox.open_package(paths, _read, manifest["slug"])
    module = memory_imports.import_entry(entry)
    loaded = _runner.load(module, class_name, manifest, json.loads(config))
    return types.Loaded(
        loaded["api"],
        loaded["tool_name"],
        loaded["config_schema"],
        [types.Hook(name, types.Kind[kind.upper()], priority) for name, kind, priority in loaded["hooks"]],
    )


class WitWorld:
    """The exports, by the names the bindings look for."""

    def load(self, manifest, config):
        return _guarded(_load, manifest, config)

    def call_hook(self, hook, payload):
        return _guarded(_runner.call_hook, hook, payload)

    def call_method(self, name, args, streamed):
        return _guarded(_runner.call_method, name, args, streamed)

    def unload(self):
        return _guarded(_runner.unload)


def _freeze():
    memory_imports.freeze()
    shims.install()
    eventloop.install()
    _sandbox.prepare()
    # The host answers only in an instance: nothing above may log.
    _host.install(WitHost())
    sys.stdout = output.LogWriter("info")
    sys.stderr = output.LogWriter("warning")
    logging.basicConfig(handlers=[output.LogHandler()], format="%(message)s", level=logging.INFO, force=True)
    gc.collect()
    gc.freeze()


_freeze()
