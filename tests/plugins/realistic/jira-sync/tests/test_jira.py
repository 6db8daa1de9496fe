import base64
import unittest
from pathlib import Path

from resoftai.plugins.errors import PluginValidationError
from resoftai.testing import FakeHttp, LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
API = "https://jira.example.com/rest/api/2"
FINDING = {"type": "sql_injection", "severity": "critical", "message": "Use parameters."}


class JiraTest(unittest.TestCase):
    def load(self, replies):
        self.web = FakeHttp(replies)
        return LoadedPlugin(FOLDER, {"user": "bot", "api_token": "t"}, LocalHost(http=self.web))

    def analysis(self):
        return {"code": "", "file_path": "db.py", "security": {"issues": [dict(FINDING)]}}

    def test_a_critical_finding_becomes_a_ticket(self):
        plugin = self.load({f"GET {API}/search*": {"issues": []}, f"POST {API}/issue": (201, {"key": "DEV-7"})})
        result = plugin.apply_filter("code.analyze", self.analysis())
        self.assertEqual(result["security"]["issues"][0]["ticket"], "DEV-7")
        search, create = self.web.requests
        self.assertIn("maxResults=1", search.url)
        self.assertEqual(search.headers["authorization"], "Basic " + base64.b64encode(b"bot:t").decode())
        self.assertEqual(create.json()["fields"]["priority"], {"name": "Highest"})

    def test_a_known_one_is_not_created_again(self):
        plugin = self.load({f"GET {API}/search*": {"issues": [{"key": "DEV-1"}]}})
        result = plugin.apply_filter("code.analyze", self.analysis())
        self.assertEqual(result["security"]["issues"][0]["ticket"], "DEV-1")

    def test_a_failing_server_costs_the_ticket_only(self):
        plugin = self.load({f"GET {API}/search*": (503, "down")})
        result = plugin.apply_filter("code.analyze", self.analysis())
        self.assertNotIn("ticket", result["security"]["issues"][0])
        self.assertTrue(any("503 Server Error" in line for _, line in plugin.host.lines))

    def test_a_notification_that_is_refused_says_so(self):
        plugin = self.load({f"POST {API}/issue": (401, "")})
        self.assertFalse(plugin.call("send_notification", event="run.completed", data={}))

    def test_a_wrong_project_is_refused(self):
        with self.assertRaisesRegex(PluginValidationError, "upper-case"):
            LoadedPlugin(FOLDER, {"project": "dev"})
