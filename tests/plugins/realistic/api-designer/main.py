import json
import re
from typing import Any, Dict, List, Optional

from resoftai.core.agent import Agent, AgentCapability, AgentRole
from resoftai.core.state import WorkflowStage
from resoftai.plugins.base import AgentPlugin, PluginContext

PROMPT = """Design a REST API for the following requirements.
Answer with JSON: {{"endpoints": [{{"method": "...", "path": "...", "purpose": "..."}}]}}

{requirements}"""


class ApiDesigner(Agent):
    @property
    def name(self) -> str:
        return "API Designer"

    @property
    def system_prompt(self) -> str:
        return "You are a senior API designer. You answer with JSON only."

    @property
    def capabilities(self) -> List[AgentCapability]:
        return [
            AgentCapability(name="api_design", description="Designs endpoints"),
            AgentCapability(name="api_review", description="Reviews endpoints"),
        ]

    @property
    def responsible_stages(self) -> List[WorkflowStage]:
        return [WorkflowStage.ARCHITECTURE_DESIGN, WorkflowStage.DEVELOPMENT_PLANNING]

    async def process_request(self, request: str, context: Optional[Dict[str, Any]] = None) -> str:
        answer = await self.generate(PROMPT.format(requirements=request), max_tokens=800, temperature=0.2)
        endpoints = self._parse(answer)
        return "\n".join(f"{e['method']:6} {e['path']}  {e['purpose']}" for e in endpoints)

    async def handle_task_assignment(self, task: Dict[str, Any]) -> Dict[str, Any]:
        text = await self.process_request(task["description"], task)
        return {"status": "completed", "artifacts": {"docs/api.md": f"# API\n\n```\n{text}\n```\n"}}

    @staticmethod
    def _parse(answer: str) -> List[Dict[str, str]]:
        match = re.search(r"\{.*\}", answer, re.DOTALL)
        return json.loads(match.group(0))["endpoints"] if match else []


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

    def get_agent_role(self) -> AgentRole:
        return AgentRole.ARCHITECT
