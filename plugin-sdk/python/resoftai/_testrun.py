"""Runs a plugin's own tests inside the sandbox, one call a test, for `resoftai plugin test`.

`unittest` cases and plain functions named `test_*`, plain or async, in `tests/**/test*.py`. Each test is a call of its
own, with limits of its own; what a class or module sets up is set up for each.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import io
import traceback
import unittest
from contextlib import redirect_stdout
from typing import Any

from resoftai import _sandbox
from resoftai._host import LocalHost
from resoftai.plugins.base import Plugin


class TestRun(Plugin):
    """Takes the place of the plugin under test; the tests load that themselves."""

    def load(self, context: Any) -> bool:
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def collect(self) -> dict[str, Any]:
        """`tests` by name, and `broken`: files that cannot be imported, with the traceback."""
        tests: list[str] = []
        broken: list[dict[str, str]] = []
        for path in _sandbox.paths():
            file = path.rpartition("/")[2]
            if not (path.startswith("tests/") and file.startswith("test") and file.endswith(".py")):
                continue
            name = path.removesuffix(".py").replace("/", ".")
            try:
                module = importlib.import_module(name)
            except Exception as error:
                broken.append({"file": path, "detail": _words(error)})
                continue
            tests.extend(_cases(unittest.defaultTestLoader.loadTestsFromModule(module)))
            tests.extend(f"{name}.{function}" for function in _functions(module))
        return {"tests": tests, "broken": broken}

    def run(self, test: str) -> dict[str, str]:
        """Runs one test; `outcome` is passed, failed or skipped, `detail` the traceback or reason, `output` what it printed."""
        module, _, name = test.rpartition(".")
        printed = io.StringIO()
        LocalHost.echo = staticmethod(lambda level, message: printed.write(f"{level}: {message}\n"))
        with redirect_stdout(printed):
            function = _function(module, name)
            outcome, detail = _run_case(test) if function is None else _run_function(function)
        return {"outcome": outcome, "detail": detail, "output": printed.getvalue()[-4000:]}


def _cases(suite: Any) -> list[str]:
    if isinstance(suite, unittest.TestSuite):
        return [name for part in suite for name in _cases(part)]
    return [suite.id()]


def _functions(module: Any) -> list[str]:
    members = inspect.getmembers(module, inspect.isfunction)
    return [n for n, f in members if n.startswith("test") and f.__module__ == module.__name__ and _takes_nothing(f)]


def _function(module: str, name: str) -> Any:
    """The plain function of this name; None when the test is a method of a class."""
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        return None


def _takes_nothing(function: Any) -> bool:
    return not inspect.signature(function).parameters


def _run_function(function: Any) -> tuple[str, str]:
    try:
        result = function()
        if inspect.isawaitable(result):
            asyncio.run(_wait(result))
    except unittest.SkipTest as skipped:
        return "skipped", str(skipped)
    except Exception as error:
        return "failed", _words(error)
    return "passed", ""


async def _wait(awaitable: Any) -> Any:
    return await awaitable


def _run_case(test: str) -> tuple[str, str]:
    result = _Result()
    result.failfast = True
    unittest.defaultTestLoader.loadTestsFromName(test).run(result)
    wrong = result.errors + result.failures
    if wrong:
        return "failed", "\n".join(text.rstrip() for _, text in wrong)
    if result.unexpectedSuccesses:
        return "failed", "It was expected to fail, and passed."
    if result.skipped:
        return "skipped", result.skipped[0][1]
    return "passed", ""


class _Result(unittest.TestResult):
    def _exc_info_to_string(self, err: Any, test: Any) -> str:
        return _words(err[1])


def _words(error: BaseException) -> str:
    """The traceback with the author's lines only, and what else there is to know."""
    summary = traceback.TracebackException.from_exception(error)
    part: Any = summary
    while part is not None:
        own = [frame for frame in part.stack if _sandbox.is_own(frame.filename)]
        if own:
            part.stack[:] = own
        part = part.__cause__ or part.__context__
    text = "".join(summary.format()).rstrip()
    hint = _sandbox.explain(error)
    return f"{text}\n{hint}" if hint else text
