"""Takes memory until there is none."""

from resoftai.plugins.base import CodeQualityPlugin


class MemoryBomb(CodeQualityPlugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def analyze_code(self, code, language):
        kept = []
        while True:
            try:
                kept.append(bytearray(1 << 20))
            except MemoryError:
                kept.append(len(kept))

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "hostile"
