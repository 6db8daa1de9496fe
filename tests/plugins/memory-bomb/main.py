"""Takes memory until there is none."""

from resoftai.plugins.base import CodeQualityPlugin


class MemoryBomb(CodeQualityPlugin):
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
        return "memory-bomb"

    def analyze_code(self, code, language):
        return {"issues": []}

    def run(self, value):
        hoard = []
        while True:
            hoard.append(bytearray(1 << 20))
