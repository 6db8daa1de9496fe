import ast
import asyncio
import re
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

from resoftai.plugins.base import CodeQualityPlugin
from resoftai.plugins.hooks import Hooks

from .rules import ALL_RULES

MESSAGES = (Path(__file__).parent / "messages.txt").read_text().splitlines()


@lru_cache(maxsize=128)
def recommendation(kind: str) -> str:
    for line in MESSAGES:
        name, _, text = line.partition(": ")
        if name == kind:
            return text
    return ""


class AstLinterPlugin(CodeQualityPlugin):
    def load(self, context):
        self.context = context
        self.rules = [rule(self.config) for rule in ALL_RULES]
        return True

    def activate(self):
        self.context.hooks.register_filter(Hooks.CODE_ANALYZE, self.lint)
        return True

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "ast-linter"

    async def analyze_code(self, code: str, language: str, file_path: str = None) -> dict:
        if language != "python":
            return {"issues": [], "score": 100}
        try:
            tree = ast.parse(code, filename=file_path or "<code>")
        except SyntaxError as e:
            return {"issues": [{"type": "syntax", "severity": "critical", "message": e.msg, "line": e.lineno}], "score": 0}
        found = await asyncio.gather(*(self._run(rule, tree) for rule in self.rules))
        issues = sorted((issue for part in found for issue in part), key=lambda i: i["line"])
        return {"issues": issues, "score": max(0, 100 - 10 * len(issues))}

    async def _run(self, rule, tree):
        await asyncio.sleep(0)
        return [
            {"line": line, "severity": severity, "type": kind, "message": message, "recommendation": recommendation(kind)}
            for line, severity, kind, message in rule.check(tree)
        ]

    async def lint(self, result: dict) -> dict:
        result["ast_linter"] = await self.analyze_code(result["code"], result.get("language"), result.get("file_path"))
        return result

    def fix_code(self, code, language):
        return re.sub(r"except\s*:", "except Exception:", code)
