"""{{name}}: looks at code and may mend it."""

from resoftai.plugins.base import CodeQualityPlugin, PluginContext


class {{class}}Plugin(CodeQualityPlugin):
    """Finds lines that are too long, and spaces at the end of lines."""

    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def get_tool_name(self) -> str:
        return "{{slug}}"

    async def analyze_code(self, code: str, language: str) -> dict:
        longest = self.config.get("max_length")
        issues = []
        for number, line in enumerate(code.splitlines(), 1):
            if len(line) > longest:
                message = f"The line has {len(line)} characters; {longest} are allowed."
                issues.append({"type": "line_length", "severity": "low", "message": message, "line": number})
            if line != line.rstrip():
                message = "There are spaces at the end of the line."
                issues.append({"type": "trailing_space", "severity": "low", "message": message, "line": number})
        return {"issues": issues, "score": max(0, 100 - len(issues))}

    def fix_code(self, code: str, language: str) -> str:
        return "".join(line.rstrip() + "\n" for line in code.splitlines())
