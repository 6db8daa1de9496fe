"""Never comes back, whatever is thrown at it."""

from resoftai.plugins.base import CodeQualityPlugin


class EndlessLoop(CodeQualityPlugin):
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
        return "endless-loop"

    def analyze_code(self, code, language):
        return {"issues": []}

    def run(self, value):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
