"""API First: a workflow in which the HTTP API is designed before anything is developed."""

from __future__ import annotations

from typing import Any

from resoftai.plugins.base import PluginContext, WorkflowPlugin


class ApiFirstPlugin(WorkflowPlugin):
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
        return "API first"

    def get_workflow_stages(self) -> list[str | dict[str, Any]]:
        return [
            "requirement_analysis",
            # Left out where no agent of this role works.
            {"name": "api_design", "role": "api_designer", "optional": True},
            # One of the platform's own roles, with a stage that is none of its usual ones.
            {"name": "api_review", "role": "architect", "produces": "docs/api-review.md"},
            "development",
            "testing",
        ]
