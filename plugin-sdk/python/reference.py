"""Writes docs/plugins/sdk.md from the SDK's own docstrings: python3 reference.py [FILE]; without FILE, to stdout."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent / "resoftai"
MODULES = [
    "plugins.base",
    "plugins.hooks",
    "plugins.errors",
    "kv",
    "http",
    "files",
    "llm",
    "llm.base",
    "core.agent",
    "core.state",
    "testing",
    "shims",
]
HEAD = """# The SDK

The Python package `resoftai`: what a plugin imports. This page is made of its docstrings
(`UPDATE_DOCS=1 python3 -m unittest discover -s plugin-sdk/python/tests`).
"""


def file_of(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def public(name: str) -> bool:
    return not name.startswith("_")


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef, method: bool) -> str:
    arguments = node.args
    is_static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    if method and not is_static:
        first = arguments.posonlyargs or arguments.args
        del first[:1]
    text = ast.unparse(arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}{node.name}({text}){returns}"


def is_property(node: ast.AST) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in getattr(node, "decorator_list", []))


def doc(node: ast.AST) -> str:
    return (ast.get_docstring(node) or "").strip()


def members(cls: ast.ClassDef) -> list[str]:
    lines = []
    for node in cls.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and public(node.name) and doc(node):
            shown = node.name if is_property(node) else signature(node, True)
            lines.append(f"* `{shown}`: {' '.join(doc(node).split())}")
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and public(node.target.id):
            lines.append(f"* `{node.target.id}: {ast.unparse(node.annotation)}`")
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.targets[0], ast.Name):
            if public(node.targets[0].id) and isinstance(node.value.value, str):
                lines.append(f"* `{node.targets[0].id}` = `{node.value.value}`")
    return lines


def section(module: str) -> str:
    tree = ast.parse(file_of(module).read_text(encoding="utf-8"))
    parts = [f"## resoftai.{module}\n", doc(tree)]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and public(node.name) and doc(node):
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            parts.append(f"### {node.name}{f'({bases})' if bases else ''}\n\n{doc(node)}")
            lines = members(node)
            if lines:
                parts.append("\n".join(lines))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and public(node.name) and doc(node):
            parts.append(f"### {node.name}\n\n`{signature(node, False)}`\n\n{doc(node)}")
    return "\n\n".join(part.rstrip() for part in parts if part)


def page() -> str:
    there = [module for module in MODULES if file_of(module).exists()]
    return HEAD + "\n" + "\n\n".join(section(module) for module in there) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
