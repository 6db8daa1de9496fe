import json
import unittest
from pathlib import Path

from resoftai.plugins.errors import PluginError
from resoftai.testing import FakeHttp, LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
URL = "POST http://models.example.org:11434/api/generate"
SETTINGS = {"base_url": "http://models.example.org:11434", "model": "qwen3"}


class {{class}}Test(unittest.TestCase):
    def test_an_answer_comes_with_its_tokens(self):
        web = FakeHttp({URL: {"response": "Hello.", "prompt_eval_count": 3, "eval_count": 2}})
        plugin = LoadedPlugin(FOLDER, SETTINGS, LocalHost(http=web))
        answer = plugin.call("generate", prompt="Hi", system_prompt="Be kind.")
        self.assertEqual((answer["content"], answer["usage"]["total_tokens"]), ("Hello.", 5))
        self.assertEqual(web.requests[0].json()["system"], "Be kind.")

    def test_a_failing_server_is_named(self):
        plugin = LoadedPlugin(FOLDER, SETTINGS, LocalHost(http=FakeHttp({URL: (500, "out of memory")})))
        with self.assertRaisesRegex(PluginError, "500: out of memory"):
            plugin.call("generate", prompt="Hi")

    def test_pieces_come_one_by_one(self):
        parts = [{"response": "Hel"}, {"response": "lo."}, {"done": True, "prompt_eval_count": 3, "eval_count": 2}]
        text = "".join(json.dumps(part) + "\n" for part in parts)
        plugin = LoadedPlugin(FOLDER, SETTINGS, LocalHost(http=FakeHttp({URL: text})))
        self.assertEqual(plugin.stream("answer", question={"model": "qwen3", "prompt": "Hi"}), ["Hel", "lo."])
