"""Webhook: posts what happens here to an address."""

from resoftai import http
from resoftai.plugins.base import IntegrationPlugin, PluginContext


class WebhookPlugin(IntegrationPlugin):
    """Which events come is the setting `events`, which the platform reads."""

    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        return True

    def deactivate(self) -> bool:
        return True

    def unload(self) -> bool:
        return True

    def get_integration_name(self) -> str:
        return "webhook"

    async def send_notification(self, event: str, data: dict) -> bool:
        token = self.config.get("token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        reply = http.post(self.config.get("url"), json={"event": event, "data": data}, headers=headers)
        if not reply.ok:
            self.context.log_warning(f"The webhook answered {reply.status}.")
        return reply.ok
