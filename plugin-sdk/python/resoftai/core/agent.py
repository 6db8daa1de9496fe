"""What an agent plugin inherits from."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any, AsyncIterator

from resoftai import llm


class AgentRole(str, Enum):
    """The roles the platform's own team has; a plugin may name its own."""

    PROJECT_MANAGER = "project_manager"
    REQUIREMENTS_ANALYST = "requirements_analyst"
    ARCHITECT = "architect"
    UXUI_DESIGNER = "uxui_designer"
    DEVELOPER = "developer"
    TEST_ENGINEER = "test_engineer"
    QUALITY_EXPERT = "quality_expert"
    DEVOPS_ENGINEER = "devops_engineer"
    SECURITY_EXPERT = "security_expert"
    PERFORMANCE_ENGINEER = "performance_engineer"
    CUSTOM = "custom"


@dataclass
class AgentCapability:
    """One thing an agent can do."""

    name: str
    description: str = ""


class Agent(ABC):
    """A member of the team. The properties say who it is; the methods are its work."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        """Needs nothing. What a class passes on is kept: `role`, and the rest as attributes of that name."""
        settings.setdefault("role", next((a for a in args if isinstance(a, str)), None))
        self.logger = logging.getLogger(f"agent.{type(self).__name__}")
        for name, value in settings.items():
            if not hasattr(type(self), name):
                setattr(self, name, value)

    @property
    @abstractmethod
    def name(self) -> str:
        """The name people see."""

    @property
    @abstractmethod
    def system_prompt(self) -> str:
        """What the model is told before every request."""

    @property
    def capabilities(self) -> list[AgentCapability]:
        """What it can do."""
        return []

    @property
    def responsible_stages(self) -> list[str]:
        """The workflow's stages it takes part in."""
        return []

    async def on_stage_start(self, stage: str, context: dict[str, Any] | None = None) -> None:
        """Told before its part of a stage begins."""

    async def generate(self, prompt: str, system_prompt: str | None = None, **options: Any) -> str:
        """The site's model's answer, under `system_prompt` unless another one is given."""
        known = {key: options[key] for key in ("max_tokens", "temperature") if key in options}
        return llm.complete(prompt, system_prompt or self.system_prompt, **known)

    async def generate_stream(
        self, prompt: str, system_prompt: str | None = None, **options: Any
    ) -> AsyncIterator[str]:
        """The answer in pieces; the platform's model gives it in one."""
        yield await self.generate(prompt, system_prompt, **options)

    async def process_request(self, request: str, context: dict[str, Any] | None = None) -> str:
        """Answers one request; unless overridden the model does, under `system_prompt`."""
        return llm.complete(request, self.system_prompt)

    async def handle_task_assignment(self, task: dict[str, Any]) -> dict[str, Any]:
        """Works on a task; unless overridden its `description` is processed as a request."""
        return {"result": await self.process_request(str(task.get("description", "")), task)}
