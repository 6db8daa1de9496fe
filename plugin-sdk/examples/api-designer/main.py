"""API Designer: an agent that designs a program's HTTP API before it is developed."""

from __future__ import annotations

from typing import Any

from resoftai.core.agent import Agent, AgentCapability
from resoftai.plugins.base import AgentPlugin, PluginContext

MOST_TOKENS = 800


class ApiDesigner(Agent):
    """Asks the model for a design and hands it in as `docs/api.md`."""

    @property
    def name(self) -> str:
        return "API Designer"

    @property
    def system_prompt(self) -> str:
        return "You design HTTP APIs. List the endpoints in Markdown: method, path, purpose, request, answer, errors."

    @property
    def capabilities(self) -> list[AgentCapability]:
        return [AgentCapability("api_design", "Designs endpoints from requirements.")]

    @property
    def responsible_stages(self) -> list[str]:
        return ["api_design"]

    async def handle_task_assignment(self, task: dict[str, Any]) -> dict[str, Any]:
        design = (await self.generate(str(task["description"]), max_tokens=MOST_TOKENS)).strip()
        if not design:
            return {"status": "failed", "error": "The model gave no design."}
        page = f"# API of {task.get('project') or 'the program'}\n\n{design}\n"
        return {"status": "completed", "summary": "Designed the API.", "artifacts": {"docs/api.md": page}}


class ApiDesignerPlugin(AgentPlugin):
    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def get_agent_class(self) -> type:
        return ApiDesigner

    def get_agent_role(self) -> str:
        return "api_designer"
