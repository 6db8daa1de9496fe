import unittest
from pathlib import Path

from resoftai.testing import FakeHttp, LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
URL = "https://hooks.example.org/resoftai"


class WebhookTest(unittest.TestCase):
    def test_an_event_is_posted(self):
        web = FakeHttp({f"POST {URL}": {"ok": True}})
        plugin = LoadedPlugin(FOLDER, {"token": "t0k3n"}, LocalHost(http=web))
        self.assertTrue(plugin.call("send_notification", event="agent.error", data={"run_id": 1}))
        self.assertEqual(web.requests[0].json(), {"event": "agent.error", "data": {"run_id": 1}})
        self.assertIn("Bearer t0k3n", str(web.requests[0].headers))

    def test_a_refusal_did_not_arrive(self):
        plugin = LoadedPlugin(FOLDER, {}, LocalHost(http=FakeHttp({f"POST {URL}": (503, "")})))
        self.assertFalse(plugin.call("send_notification", event="agent.error", data={}))
        self.assertIn(("warning", "The webhook answered 503."), plugin.host.lines)


if __name__ == "__main__":
    unittest.main()
