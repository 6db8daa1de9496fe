"""{{name}}: a new member of the team that builds software."""

from resoftai.core.agent import Agent, AgentCapability
from resoftai.plugins.base import AgentPlugin, PluginContext


class {{class}}Agent(Agent):
    """Reviews what others wrote and says what to improve."""

    @property
    def name(self) -> str:
        return "{{name}}"

    @property
    def system_prompt(self) -> str:
        return "You review software documentation. Answer with a short list of improvements, the most important first."

    @property
    def capabilities(self) -> list[AgentCapability]:
        return [AgentCapability("review", "Finds what is missing or unclear in a text.")]

    @property
    def responsible_stages(self) -> list[str]:
        return ["documentation_review"]


class {{class}}Plugin(AgentPlugin):
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
        return {{class}}Agent

    def get_agent_role(self) -> str:
        return "{{role}}"
