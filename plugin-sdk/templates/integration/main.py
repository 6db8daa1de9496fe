"""{{name}}: tells another system what happens here."""

from resoftai import http
from resoftai.plugins.base import IntegrationPlugin, PluginContext
from resoftai.plugins.hooks import Hooks


class {{class}}Plugin(IntegrationPlugin):
    def load(self, context: PluginContext) -> bool:
        self.context = context
        return True

    def activate(self) -> bool:
        self.context.hooks.register_action(Hooks.PROJECT_CREATE_AFTER, self.project_created)
        return True

    def deactivate(self) -> bool:
        self.context.hooks.unregister_action(Hooks.PROJECT_CREATE_AFTER, self.project_created)
        return True

    def unload(self) -> bool:
        return True

    def get_integration_name(self) -> str:
        return "{{name}}"

    async def project_created(self, payload: dict) -> None:
        await self.send_notification(Hooks.PROJECT_CREATE_AFTER, payload)

    async def send_notification(self, event: str, data: dict) -> bool:
        reply = http.post(self.config.get("webhook_url"), json={"event": event, "data": data})
        if not reply.ok:
            self.context.log_warning(f"The webhook answered {reply.status}.")
        return reply.ok
