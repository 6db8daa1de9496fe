"""Registers a million hooks."""

from resoftai.plugins.base import CodeQualityPlugin


class MillionHooks(CodeQualityPlugin):
    def load(self, context):
        for number in range(10**6):
            context.hooks.register_filter("code.analyze", lambda value: value)
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        return {"issues": []}

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
