"""Ends its process while it is loaded."""

import os

from resoftai.plugins.base import CodeQualityPlugin


class ExitsInLoad(CodeQualityPlugin):
    def load(self, context):
        os._exit(0)

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
