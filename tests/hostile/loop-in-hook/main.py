"""Never comes back from a call, whatever is thrown at it."""

from resoftai.plugins.base import CodeQualityPlugin


class LoopInHook(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
