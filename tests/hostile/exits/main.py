"""Ends its process."""

import os

from resoftai.plugins.base import CodeQualityPlugin


class Exits(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        os._exit(0)

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
