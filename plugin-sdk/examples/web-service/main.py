"""Web Service: a project to start from."""

from pathlib import Path

from resoftai.plugins.base import PluginContext, TemplatePlugin

FILES = Path(__file__).parent / "files"
PACKAGE = "{{ name|snake_case }}"


class WebServicePlugin(TemplatePlugin):
    """Offers the files of the folder `files`; the variables are in `template.json`."""

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
        return "web-service"

    def get_template_files(self) -> dict[str, str]:
        found = sorted(path for path in FILES.rglob("*") if path.is_file())
        return {self.path_of(path): path.read_text() for path in found}

    def path_of(self, path: Path) -> str:
        name = path.relative_to(FILES).as_posix().removesuffix(".tmpl").replace("PACKAGE", PACKAGE)
        # A path that comes to nothing leaves the file out.
        return f"{{% if with_tests %}}{name}{{% endif %}}" if name.startswith("tests/") else name
