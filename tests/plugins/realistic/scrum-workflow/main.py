from enum import Enum

from resoftai.plugins.base import WorkflowPlugin
from resoftai.plugins.hooks import action_hook


class Stage(Enum):
    BACKLOG = "requirements_analysis"
    SPRINT_PLANNING = "architecture_design"
    SPRINT = "development"
    REVIEW = "testing"
    RETROSPECTIVE = "qa_review"


class ScrumWorkflowPlugin(WorkflowPlugin):
    def __init__(self, metadata, config):
        super().__init__(metadata, config)
        self.velocity = []

    def load(self, context):
        self.context = context
        self.velocity = context.get_data("velocity", [])
        return True

    def activate(self):
        return True

    def deactivate(self):
        self.context.set_data("velocity", self.velocity)
        return True

    def unload(self):
        return True

    def get_workflow_name(self):
        return "scrum"

    def get_workflow_stages(self):
        stages = [Stage.BACKLOG]
        for _ in range(self.config.get("sprints", 1)):
            stages += [Stage.SPRINT_PLANNING, Stage.SPRINT, Stage.REVIEW]
        return [stage.value for stage in stages + [Stage.RETROSPECTIVE]]

    @action_hook("project.execute.complete")
    def remember(self, payload):
        self.velocity.append(payload.get("tokens_used", 0))
        self.context.set_data("velocity", self.velocity[-10:])
