"""Fails with ten megabytes of text."""

from resoftai.plugins.base import CodeQualityPlugin


class HugeException(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        raise ValueError("the beginning " + "x" * 10_000_000)

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
