"""Fails with an exception of its own."""

from resoftai.plugins.base import CodeQualityPlugin


class Raises(CodeQualityPlugin):
    def load(self, context):
        self.context = context
        return True

    def activate(self):
        self.context.hooks.register_filter("code.analyze", self.run)
        return True

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "raises"

    def analyze_code(self, code, language):
        return {"issues": []}

    def run(self, value):
        return self.divide(value, 0)

    def divide(self, value, by):
        return len(value) / by
