import unittest
from pathlib import Path

from resoftai.testing import FakeHttp, LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
URL = "https://hooks.example.org/resoftai"


class {{class}}Test(unittest.TestCase):
    def test_a_new_project_is_told(self):
        web = FakeHttp({f"POST {URL}": {"ok": True}})
        plugin = LoadedPlugin(FOLDER, {"webhook_url": URL}, LocalHost(http=web))
        plugin.do_action("project.create.after", {"name": "Shop"})
        self.assertEqual(web.requests[0].json(), {"event": "project.create.after", "data": {"name": "Shop"}})

    def test_a_refusal_is_no_success(self):
        plugin = LoadedPlugin(FOLDER, {"webhook_url": URL}, LocalHost(http=FakeHttp({f"POST {URL}": (500, "")})))
        self.assertFalse(plugin.call("send_notification", event="run.completed", data={}))
        self.assertIn(("warning", "The webhook answered 500."), plugin.host.lines)
