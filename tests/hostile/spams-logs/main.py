"""Writes ten thousand lines of log."""

from resoftai.plugins.base import CodeQualityPlugin


class SpamsLogs(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        for number in range(10_000):
            print(number)
        return {"issues": [{"message": "all written"}]}

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
