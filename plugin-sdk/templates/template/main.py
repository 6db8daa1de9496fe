"""{{name}}: a project to start from."""

from pathlib import Path

from resoftai.plugins.base import PluginContext, TemplatePlugin

FILES = Path(__file__).parent / "files"


class {{class}}Plugin(TemplatePlugin):
    """Offers the files of the folder `files`, as they lie there."""

    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def get_template_name(self) -> str:
        return "{{name}}"

    def get_template_files(self) -> dict[str, str]:
        found = sorted(path for path in FILES.rglob("*") if path.is_file())
        return {path.relative_to(FILES).as_posix(): path.read_text() for path in found}
