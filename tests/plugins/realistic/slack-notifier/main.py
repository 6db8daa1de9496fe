"""Slack integration."""
import logging
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

import aiohttp

from resoftai.plugins.base import IntegrationPlugin, PluginConfig, PluginContext, PluginMetadata
from resoftai.plugins.hooks import filter_hook

from .formatting import EVENT_EMOJI, build_attachment

logger = logging.getLogger(__name__)


class SlackNotifierPlugin(IntegrationPlugin):
    """Send notifications to a Slack channel through an incoming webhook."""

    def __init__(self, metadata: PluginMetadata, config: PluginConfig):
        super().__init__(metadata, config)
        self.webhook_url: Optional[str] = None
        self.enabled_events: List[str] = []
        self.sent = 0

    def load(self, context: PluginContext) -> bool:
        self.context = context
        self.webhook_url = self.config.config.get("webhook_url")
        self.enabled_events = self.config.config.get("enabled_events", ["project.created", "error"])
        if not self.webhook_url:
            context.log_warning("No webhook_url configured, notifications are off")
        logger.info("Slack notifier loaded for %d events", len(self.enabled_events))
        return True

    def activate(self) -> bool:
        self.context.hooks.register_action("project.create.after", self._on_project_created, priority=20)
        self.context.hooks.register_action("agent.error", self._on_error)
        return True

    def deactivate(self) -> bool:
        self.context.hooks.unregister_action("project.create.after", self._on_project_created)
        self.context.hooks.unregister_action("agent.error", self._on_error)
        return True

    def unload(self) -> bool:
        self.webhook_url = None
        return True

    def get_integration_name(self) -> str:
        return "slack"

    def get_config_schema(self) -> Dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "webhook_url": {"type": "string", "format": "password"},
                "default_channel": {"type": "string", "default": "#builds"},
                "username": {"type": "string", "default": "ResoftAI"},
                "enabled_events": {
                    "type": "array",
                    "items": {"type": "string"},
                    "default": ["project.created", "agent.completed", "error"],
                },
            },
        }

    def validate_config(self, config: Dict[str, Any]) -> bool:
        url = config.get("webhook_url")
        return url is None or url.startswith("https://hooks.slack.com/")

    async def _on_project_created(self, payload: Dict[str, Any]) -> None:
        await self.send_notification("project.created", payload)

    async def _on_error(self, payload: Dict[str, Any]) -> None:
        await self.send_notification("error", payload)

    @filter_hook("filter.project.requirements")
    def remember_requirements(self, text: str) -> str:
        self.context.set_data("last_requirements", {"text": text, "at": datetime.now(timezone.utc).isoformat()})
        return text

    async def send_notification(self, event: str, data: Dict[str, Any]) -> bool:
        if not self.webhook_url or event not in self.enabled_events:
            return False
        message = {
            "channel": self.config.get("default_channel"),
            "username": self.config.get("username", "ResoftAI"),
            "icon_emoji": EVENT_EMOJI.get(event, ":robot_face:"),
            "attachments": [build_attachment(event, data)],
        }
        timeout = aiohttp.ClientTimeout(total=10)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                async with session.post(self.webhook_url, json=message) as response:
                    if response.status != 200:
                        body = await response.text()
                        self.context.log_error(f"Slack returned {response.status}: {body}")
                        return False
                    self.sent += 1
                    return True
        except aiohttp.ClientError as exc:
            self.context.log_error(f"Slack is not reachable: {exc}")
            return False
