import os
from dataclasses import asdict, dataclass, field

import requests
from requests.auth import HTTPBasicAuth
from requests.exceptions import RequestException

from resoftai.plugins.base import IntegrationPlugin
from resoftai.plugins.errors import PluginValidationError


@dataclass
class Issue:
    summary: str
    description: str
    priority: str = "Medium"
    labels: list = field(default_factory=lambda: ["resoftai"])


class JiraClient:
    def __init__(self, base_url, user, token, project):
        self.base_url = base_url.rstrip("/")
        self.project = project
        self.session = requests.Session()
        self.session.auth = HTTPBasicAuth(user, token)
        self.session.headers.update({"Accept": "application/json"})

    def search(self, summary):
        response = self.session.get(
            f"{self.base_url}/rest/api/2/search",
            params={"jql": f'project = {self.project} AND summary ~ "{summary}"', "maxResults": 1},
            timeout=(3, 15),
        )
        response.raise_for_status()
        return response.json()["issues"]

    def create(self, issue):
        fields = asdict(issue)
        fields["priority"] = {"name": fields["priority"]}
        fields["project"] = {"key": self.project}
        fields["issuetype"] = {"name": "Bug"}
        response = self.session.post(f"{self.base_url}/rest/api/2/issue", json={"fields": fields}, timeout=15)
        response.raise_for_status()
        return response.json()["key"]


class JiraPlugin(IntegrationPlugin):
    PRIORITIES = {"critical": "Highest", "high": "High"}

    def load(self, context):
        self.context = context
        token = self.config.get("api_token") or os.environ.get("JIRA_TOKEN", "")
        self.client = JiraClient(
            self.config.get("base_url", "https://jira.example.com"),
            self.config.get("user", "bot"),
            token,
            self.config.get("project", "DEV"),
        )
        return True

    def activate(self):
        self.context.hooks.register_filter("code.analyze", self.on_analysis, priority=100)
        return True

    def deactivate(self):
        return True

    def unload(self):
        self.client.session.close()
        return True

    def get_integration_name(self):
        return "jira"

    def validate_config(self, config):
        if "project" in config and not str(config["project"]).isupper():
            raise PluginValidationError("project must be an upper-case Jira key")
        return True

    def on_analysis(self, result):
        for tool, value in list(result.items()):
            if not isinstance(value, dict):
                continue
            for issue in value.get("issues", []):
                if issue.get("severity") in self.PRIORITIES:
                    key = self._report(issue, result.get("file_path"))
                    if key:
                        issue["ticket"] = key
        return result

    def _report(self, issue, path):
        summary = f"{issue['type']} in {path}"
        try:
            known = self.client.search(summary)
            if known:
                return known[0]["key"]
            return self.client.create(
                Issue(summary, issue["message"], self.PRIORITIES[issue["severity"]])
            )
        except RequestException as e:
            self.context.log_error("Jira failed: %s" % e)
            return None

    async def send_notification(self, event, data):
        try:
            self.client.create(Issue(summary=event, description=str(data)))
        except requests.HTTPError as e:
            self.logger.error("Jira answered %s", e.response.status_code)
            return False
        return True
