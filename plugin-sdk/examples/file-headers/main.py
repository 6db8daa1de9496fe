"""File Headers: puts a line at the top of Python files that lack it."""

from resoftai import files
from resoftai.plugins.base import Plugin, PluginContext


class FileHeadersPlugin(Plugin):
    """Looks at a file when it was written, and at all of a project when a run ended."""

    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        for name in ("file.create.after", "file.update.after"):
            self.context.hooks.register_action(name, self.file_written)
        self.context.hooks.register_action("project.execute.complete", self.run_ended)
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def file_written(self, payload: dict) -> None:
        # What a plugin wrote, this one too, is told as well; nothing may be changed then.
        if payload["actor"] != "system" and payload["path"].endswith(".py"):
            self.mend(payload["path"])

    def run_ended(self, payload: dict) -> None:
        mended = [path for path in files.list("**/*.py") if self.mend(path)]
        if mended:
            self.context.log_info(f"{len(mended)} files have a header now.")

    def mend(self, path: str) -> bool:
        line = f"# {self.config.get('header')}\n"
        text = files.read_text(path)
        if line in text:
            return False
        # The first line of a script says what runs it.
        first, rest = text.split("\n", 1) if text.startswith("#!") and "\n" in text else ("", text)
        files.write(path, f"{first}\n{line}{rest}" if first else line + rest)
        return True
