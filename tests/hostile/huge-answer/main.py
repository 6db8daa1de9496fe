"""Answers with a gigabyte."""

from resoftai.plugins.base import CodeQualityPlugin


class HugeAnswer(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        return {"issues": [], "padding": "x" * (1 << 30)}

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
