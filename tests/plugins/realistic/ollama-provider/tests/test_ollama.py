import asyncio
import json
import unittest
from pathlib import Path

from resoftai.plugins.errors import PluginError
from resoftai.testing import FakeHttp, LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
URL = "POST http://gpu.internal:11434/api/chat"
SETTINGS = {"base_url": "http://gpu.internal:11434", "model": "qwen3", "temperature": 0.1}


class OllamaTest(unittest.TestCase):
    def test_an_answer_and_its_tokens(self):
        reply = {"message": {"content": "Hi."}, "prompt_eval_count": 4, "eval_count": 2}
        web = FakeHttp({URL: reply})
        answer = LoadedPlugin(FOLDER, SETTINGS, LocalHost(http=web)).call("generate", prompt="Hello", system_prompt="Short.")
        self.assertEqual((answer["content"], answer["usage"]["total_tokens"]), ("Hi.", 6))
        sent = web.requests[0].json()
        self.assertEqual((sent["model"], sent["options"]["temperature"]), ("qwen3", 0.1))
        self.assertEqual([m["role"] for m in sent["messages"]], ["system", "user"])

    def test_an_error_is_told(self):
        plugin = LoadedPlugin(FOLDER, SETTINGS, LocalHost(http=FakeHttp({URL: (500, "no gpu")})))
        with self.assertRaisesRegex(PluginError, "Ollama answered 500"):
            plugin.call("generate", prompt="Hello")

    def test_pieces_come_one_by_one(self):
        from resoftai import _host

        lines = [{"message": {"content": "a"}}, {"message": {"content": "b"}}, {"done": True}]
        text = "\n".join(json.dumps(line) for line in lines)
        host = LocalHost(http=FakeHttp({URL: text}))
        LoadedPlugin(FOLDER, SETTINGS, host)
        import sys

        provider = sys.modules["plugin_ollama_provider.main"].OllamaProvider
        from resoftai.llm.base import LLMConfig

        async def pieces():
            config = LLMConfig(base_url=SETTINGS["base_url"], model="qwen3")
            return [piece async for piece in provider(config).generate_stream("Hello")]

        before = _host.install(host)
        try:
            self.assertEqual(asyncio.run(pieces()), ["a", "b"])
        finally:
            _host.install(before)
