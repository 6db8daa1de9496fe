import os
import secrets
from string import Template

from resoftai.plugins.base import TemplatePlugin

SKELETON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "skeleton")


class DjangoTemplatePlugin(TemplatePlugin):
    def load(self, context):
        self.context = context
        return os.path.isdir(SKELETON)

    def activate(self):
        return True

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_template_name(self):
        return "django"

    def get_template_files(self):
        values = {
            "package": "site",
            "django_version": self.config.get("django_version"),
            "secret": secrets.token_urlsafe(32),
        }
        files = {}
        for folder, _, names in os.walk(SKELETON):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as f:
                    text = Template(f.read()).substitute(values)
                files[os.path.relpath(path, SKELETON).replace(os.sep, "/")[: -len(".tmpl")]] = text
        return files
