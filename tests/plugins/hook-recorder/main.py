"""Registers every hook there is and writes each call into its log; its filters leave a mark."""

import json

from resoftai.plugins.base import Plugin
from resoftai.plugins.hooks import Hooks, action

NAMES = [value for name, value in vars(Hooks).items() if name.isupper()]
FILTERS = [name for name in NAMES if name.startswith(("filter.", "code."))]


def short(value):
    """A line of the log holds 2,000 bytes."""
    if isinstance(value, str):
        return value[:100]
    if isinstance(value, list):
        return [short(item) for item in value[:3]]
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items()}
    return value


class Recorder(Plugin):
    def load(self, context):
        self.context = context
        return True

    def activate(self):
        for name in FILTERS:
            self.context.hooks.register_filter(name, self.marks(name))
        for name in NAMES:
            if not name.startswith("filter."):
                self.context.hooks.register_action(name, self.records(name), priority=20)
        self.context.hooks.register_action("project.craete.after", print)
        return True

    def deactivate(self):
        return True

    def unload(self):
        return True

    def write(self, kind, name, payload):
        self.context.log_info(json.dumps({"kind": kind, "hook": name, "payload": short(payload)}))

    def records(self, name):
        async def record(payload):
            self.write("action", name, payload)

        return record

    def marks(self, name):
        def mark(value):
            self.write("filter", name, value)
            if name == Hooks.FILTER_LLM_PROMPT:
                value["messages"][-1]["content"] += " [asked]"
            elif name == Hooks.FILTER_LLM_RESPONSE:
                value["text"] = value["text"].replace("Red", "Scarlet")
            elif name == Hooks.FILTER_CODE_CONTENT:
                return value["content"] + "# seen\n"
            elif name == Hooks.FILTER_PROJECT_REQUIREMENTS:
                value["requirements"] += " In blue."
            elif name == Hooks.CODE_FORMAT:
                value["code"] = value["code"].strip() + "\n"
            else:
                value["recorder"] = [{"type": "seen", "severity": "low", "message": f"{name} was asked."}]
            return value

        return mark

    @action(Hooks.USER_LOGIN)
    def plain(self, payload):
        self.write("plain", Hooks.USER_LOGIN, payload)
