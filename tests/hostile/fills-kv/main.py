"""Keeps more than its share."""

from resoftai import kv
from resoftai.plugins.base import CodeQualityPlugin


class FillsKv(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        for number in range(10**6):
            kv.set(f"key {number}", "x" * 100_000)
        return {"issues": []}

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
