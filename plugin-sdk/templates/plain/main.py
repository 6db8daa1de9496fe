"""{{name}}: a plugin that hangs on hooks."""

from resoftai.plugins.base import Plugin, PluginContext
from resoftai.plugins.hooks import Hooks, action


class {{class}}Plugin(Plugin):
    """Counts the files that were made."""

    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    @action(Hooks.FILE_CREATE_AFTER)
    def file_created(self, payload: dict) -> None:
        count = self.context.get_data("files", 0) + 1
        self.context.set_data("files", count)
        self.context.log_info(f"{count} files were made, the last one is {payload.get('path')}.")
