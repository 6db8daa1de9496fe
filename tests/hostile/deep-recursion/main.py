"""Calls itself without end, with the limit of its language taken away."""

import sys

from resoftai.plugins.base import CodeQualityPlugin


class DeepRecursion(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        sys.setrecursionlimit(2**31 - 1)

        def deeper(value):
            return max([value], key=deeper)

        return deeper(0)

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
