import json
import unittest
from pathlib import Path

from resoftai.plugins.errors import PluginError
from resoftai.testing import FakeHttp, LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
BASE = "https://models.example.org/v1"
CHAT = f"POST {BASE}/chat/completions"
QUESTION = {"model": "small", "prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}


def plugin(replies, **settings):
    web = FakeHttp(replies)
    return web, LoadedPlugin(FOLDER, settings, LocalHost(http=web))


class ModelsTest(unittest.TestCase):
    def test_the_servers_models_or_those_of_the_settings(self):
        _, asked = plugin({f"GET {BASE}/models": {"data": [{"id": "small"}, {"id": "large"}]}})
        self.assertEqual(asked.call("describe"), {"name": "openai", "models": ["small", "large"]})
        _, told = plugin({}, models=["only"])
        self.assertEqual(told.call("describe")["models"], ["only"])

    def test_an_answer_with_its_tokens(self):
        choice = {"message": {"content": "Hello."}, "finish_reason": "length"}
        web, models = plugin({CHAT: {"choices": [choice], "usage": {"prompt_tokens": 3}}}, api_key="k")
        answer = models.call("answer", question=QUESTION)
        self.assertEqual((answer["content"], answer["finish_reason"]), ("Hello.", "length"))
        sent = web.requests[0]
        self.assertEqual(sent.json(), {"model": "small", "messages": QUESTION["messages"], "max_tokens": 9})
        self.assertEqual(sent.headers["authorization"], "Bearer k")

    def test_pieces_come_one_by_one(self):
        chunks = [
            {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"content": "Hel"}}]},
            {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        ]
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        _, models = plugin({CHAT: text})
        self.assertEqual(models.stream("answer", question=QUESTION), ["Hel", "lo"])

    def test_a_refusal_is_told_in_the_servers_words(self):
        _, models = plugin({CHAT: (500, {"error": {"message": "out of memory"}})})
        for ask in (models.call, models.stream):
            with self.assertRaisesRegex(PluginError, "answered 500: out of memory"):
                ask("answer", question=QUESTION)


if __name__ == "__main__":
    unittest.main()
