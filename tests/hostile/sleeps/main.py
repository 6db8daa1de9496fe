"""Sleeps for a week."""

import time

from resoftai.plugins.base import CodeQualityPlugin


class Sleeps(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        time.sleep(7 * 24 * 3600)
        return {"issues": []}

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
