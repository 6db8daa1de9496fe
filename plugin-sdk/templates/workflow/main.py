"""{{name}}: an order of stages for projects."""

from resoftai.plugins.base import PluginContext, WorkflowPlugin


class {{class}}Plugin(WorkflowPlugin):
    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def get_workflow_name(self) -> str:
        return "{{name}}"

    def get_workflow_stages(self) -> list[str]:
        return ["requirements_analysis", "architecture_design", "development", "testing"]
