"""Never comes back from load."""

from resoftai.plugins.base import CodeQualityPlugin


class LoopInLoad(CodeQualityPlugin):
    def load(self, context):
        while True:
            pass

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
