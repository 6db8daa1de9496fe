"""The SDK under plain CPython, without a platform."""

import json
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from resoftai import _host, files, http, kv, llm
from resoftai.plugins import base, hooks
from resoftai.plugins.errors import PluginError, PluginLoadError, PluginValidationError
from resoftai.testing import LoadedPlugin, LocalHost

PLUGIN = """
from resoftai.plugins.base import Plugin, {base}
from resoftai.plugins.hooks import action, filter

class P({base}):
    def load(self, context):
        self.context = context
        return True
    def activate(self):
        return True
    def deactivate(self):
        return True
    def unload(self):
        return True
"""


def make(test, body, base="Plugin", settings=None, host=None, **manifest):
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    path = Path(folder.name)
    fields = {"name": "P", "slug": "p-test", "version": "1.0.0", "entry_point": "main.py:P", **manifest}
    (path / "plugin.json").write_text(json.dumps(fields))
    (path / "main.py").write_text(PLUGIN.format(base=base) + textwrap.indent(textwrap.dedent(body), "    "))
    plugin = LoadedPlugin(path, settings, host)
    test.addCleanup(plugin._runner.close)
    return plugin


class HookNames(unittest.TestCase):
    def test_constants_are_the_contracts_names(self):
        names = [value for key, value in vars(hooks.Hooks).items() if key.isupper()]
        self.assertEqual(len(names), 30)
        self.assertEqual(len(set(names)), 30)
        self.assertIn("code.analyze", names)


class Registering(unittest.TestCase):
    def test_what_is_registered_can_be_taken_back(self):
        manager = hooks.HookManager()
        manager.register_action("agent.start", print)
        manager.register_filter("code.analyze", print, priority=5)
        self.assertEqual([(r.kind, r.priority) for r in manager.registrations()], [("action", 10), ("filter", 5)])
        self.assertTrue(manager.unregister_action("agent.start", print))
        self.assertFalse(manager.unregister_action("agent.start", print))
        self.assertEqual(len(manager.registrations()), 1)

    def test_what_is_no_hook_is_refused(self):
        manager = hooks.HookManager()
        for arguments in [("", print), ("x", None), ("x", print, "high"), ("x", print, 2**31)]:
            with self.subTest(arguments), self.assertRaises(PluginValidationError):
                manager.register_filter(*arguments)


class Life(unittest.TestCase):
    def test_decorated_methods_are_registered_and_run_in_order(self):
        plugin = make(
            self,
            """
            @filter("code.lint", 20)
            async def second(self, value):
                return value + ["second"]
            @filter("code.lint", 1)
            def first(self, value):
                return value + ["first"]
            @action("agent.start")
            def told(self, payload):
                self.context.log_info(payload["who"])
            """,
        )
        self.assertEqual(plugin.apply_filter("code.lint", []), ["first", "second"])
        plugin.do_action("agent.start", {"who": "developer"})
        self.assertIn(("info", "developer"), plugin.host.lines)

    def test_the_specifications_slip_works(self):
        body = """
        def activate(self):
            context.hooks.register_filter("code.analyze", lambda value: value * 2)
            return True
        """
        self.assertEqual(make(self, body).apply_filter("code.analyze", 21), 42)

    def test_false_is_a_failure(self):
        with self.assertRaisesRegex(PluginLoadError, r"P\.activate\(\) returned False"):
            make(self, "def activate(self): return False")

    def test_a_wrong_class_name_is_explained(self):
        with self.assertRaisesRegex(PluginLoadError, "correct entry_point"):
            make(self, "", entry_point="main.py:Q")

    def test_defaults_of_the_schema_fill_the_configuration(self):
        schema = {"type": "object", "properties": {"a": {"default": 1}, "b": {"default": 2}}}
        plugin = make(self, "def both(self): return self.config.config", settings={"a": 5}, config_schema=schema)
        self.assertEqual(plugin.call("both"), {"a": 5, "b": 2})

    def test_methods_take_what_they_know(self):
        body = """
        def get_tool_name(self): return "t"
        async def analyze_code(self, code, language): return {"seen": [code, language]}
        """
        plugin = make(self, body, base="CodeQualityPlugin")
        self.assertEqual((plugin.api, plugin.tool_name), ("code_quality", "t"))
        self.assertEqual(plugin.call("analyze_code", code="c", language="l", file_path="f"), {"seen": ["c", "l"]})

    def test_life_and_private_methods_cannot_be_called(self):
        plugin = make(self, "")
        for name in ["load", "unload", "_secret", "missing"]:
            with self.subTest(name), self.assertRaisesRegex(PluginError, "no method"):
                plugin.call(name)

    def test_an_agent_describes_itself_and_works(self):
        body = """
        def get_agent_role(self): return "poet"
        def get_agent_class(self):
            from resoftai.core.agent import Agent, AgentCapability
            class Poet(Agent):
                name = "Poet"
                system_prompt = "Rhyme."
                capabilities = [AgentCapability("rhyme")]
            return Poet
        """
        host = LocalHost(llm=lambda request: {"content": request["messages"][0]["content"]})
        plugin = make(self, body, base="AgentPlugin", host=host)
        self.assertEqual((plugin.api, plugin.tool_name), ("agent", "poet"))
        described = plugin.call("describe")
        self.assertEqual((described["name"], described["capabilities"][0]["name"]), ("Poet", "rhyme"))
        self.assertEqual(plugin.call("process_request", request="moon"), "Rhyme.")

    def test_classes_of_the_earlier_product_are_made_too(self):
        body = """
        def get_agent_role(self): return "poet"
        def get_agent_class(self):
            from resoftai.core.agent import Agent
            class Poet(Agent):
                system_prompt = "Rhyme."
                name = "Poet"
                def __init__(self, role, message_bus, mood="glad"):
                    super().__init__(role=role, message_bus=message_bus, mood=mood)
                async def process_request(self, request, context=None):
                    return [self.role, self.message_bus, self.mood]
            return Poet
        """
        plugin = make(self, body, base="AgentPlugin")
        self.assertEqual(plugin.call("process_request", request="x"), ["poet", None, "glad"])
        body = """
        def get_provider_name(self): return "echo"
        def get_provider_class(self):
            from resoftai.llm.base import LLMProvider
            class Echo(LLMProvider):
                async def generate(self, prompt, system_prompt=None, **options):
                    return [self.config.model, self.config.model_name, self.config.get("api_key"), self.config.get("beam", 3)]
            return Echo
        """
        plugin = make(self, body, base="LLMProviderPlugin", settings={"model_name": "m", "api_key": "k"})
        self.assertEqual(plugin.call("generate", prompt="hi"), ["m", "m", "k", 3])

    def test_a_provider_generates(self):
        body = """
        def get_provider_name(self): return "echo"
        def get_provider_class(self):
            from resoftai.llm.base import LLMProvider, LLMResponse
            class Echo(LLMProvider):
                async def generate(self, prompt, system_prompt=None, **options):
                    return LLMResponse(prompt, model=self.config.model)
            return Echo
        """
        plugin = make(self, body, base="LLMProviderPlugin", settings={"model": "m"})
        answer = plugin.call("generate", prompt="hi", system_prompt=None)
        self.assertEqual((answer["content"], answer["model"]), ("hi", "m"))

    def test_what_a_method_yields_is_passed_on_and_returned_whole(self):
        body = """
        async def counted(self):
            for n in range(3):
                yield f"{n} "
        def plain(self):
            yield from ("a", "b")
        async def handed_on(self):
            return self.counted()
        def wrong(self):
            yield 1
        """
        plugin = make(self, body)
        for method, pieces in [("counted", ["0 ", "1 ", "2 "]), ("plain", ["a", "b"]), ("handed_on", ["0 ", "1 ", "2 "])]:
            with self.subTest(method):
                self.assertEqual(plugin.call(method), "".join(pieces))
                self.assertEqual(plugin.host.pieces, [])
                self.assertEqual(plugin.stream(method), pieces)
                plugin.host.pieces.clear()
        with self.assertRaisesRegex(PluginValidationError, "yielded int"):
            plugin.stream("wrong")


class Reaching(unittest.TestCase):
    def setUp(self):
        self.host = LocalHost(
            http=lambda method, url, headers, body, timeout: (200, [("X-A", "b")], f"{method} {url}".encode())
        )
        before = _host.install(self.host)
        self.addCleanup(_host.install, before)

    def test_kv_keeps_json(self):
        kv.set("a", {"b": [1, None]})
        self.assertEqual(kv.get("a"), {"b": [1, None]})
        kv.delete("a")
        self.assertEqual(kv.get("a", "gone"), "gone")

    def test_kv_lists_its_keys(self):
        for key in ["b/2", "a", "b/1"]:
            kv.set(key, 0)
        self.assertEqual((kv.keys("b/"), kv.keys()), (["b/1", "b/2"], ["a", "b/1", "b/2"]))

    def test_files_of_the_project_are_found_by_pattern(self):
        for path in ["main.py", "src/a.py", "src/deep/b.py", "src/c.txt"]:
            files.write(path, path)
        expected = {
            "*.py": ["main.py"],
            "src/*.py": ["src/a.py"],
            "src/**/*.py": ["src/a.py", "src/deep/b.py"],
            "src/?.txt": ["src/c.txt"],
            "**": ["main.py", "src/a.py", "src/c.txt", "src/deep/b.py"],
            "[a-z]*": [],
        }
        for pattern, paths in expected.items():
            with self.subTest(pattern):
                self.assertEqual(files.list(pattern), paths)
        files.delete("src/a.py")
        self.assertEqual((files.read("main.py"), files.read_text("src/c.txt")), (b"main.py", "src/c.txt"))
        for gone in [files.read, files.delete]:
            with self.assertRaisesRegex(PluginError, "no file src/a.py"):
                gone("src/a.py")

    def test_context_data_is_kept(self):
        context = base.PluginContext("p")
        context.set_data("n", 1)
        self.assertEqual(context.get_data("n"), 1)
        context.set_data("n", None)
        self.assertEqual(context.get_data("n", 7), 7)

    def test_http_builds_the_request(self):
        reply = http.get("https://h/x?a=1", params={"b": "ä"})
        self.assertEqual((reply.status, reply.text, reply.headers), (200, "GET https://h/x?a=1&b=%C3%A4", {"x-a": "b"}))

    def test_without_a_model_the_sentence_says_what_to_do(self):
        with self.assertRaisesRegex(PluginError, "LocalHost an llm function"):
            llm.complete("hi")


class Package(unittest.TestCase):
    def test_the_interface_can_be_imported_from_its_package(self):
        from resoftai.plugins import CodeQualityPlugin, Hooks, action_hook

        self.assertIs(CodeQualityPlugin, base.CodeQualityPlugin)
        self.assertEqual((Hooks.CODE_ANALYZE, action_hook), ("code.analyze", hooks.action))
        with self.assertRaises(ImportError):
            from resoftai.plugins import Nothing  # noqa: F401


class Metadata(unittest.TestCase):
    def test_unknown_fields_are_kept(self):
        metadata = base.PluginMetadata.from_dict({"name": "n", "slug": "s", "icon": "i.svg"})
        self.assertEqual((metadata.icon, metadata.tags, metadata.to_dict()["icon"]), ("i.svg", [], "i.svg"))

    def test_the_six_kinds_are_abstract(self):
        quality = [base.CodeQualityPlugin, base.TemplatePlugin, base.WorkflowPlugin]
        for kind in [base.AgentPlugin, base.LLMProviderPlugin, base.IntegrationPlugin, *quality]:
            with self.subTest(kind), self.assertRaises(TypeError):
                kind(base.PluginMetadata(), base.PluginConfig())



class Providers(unittest.TestCase):
    BODY = """
    def get_provider_name(self): return "mine"
    def get_provider_class(self):
        from resoftai.llm.base import LLMProvider, LLMResponse
        class Mine(LLMProvider):
            async def generate(self, prompt, system_prompt=None, **options):
                usage = {"prompt_tokens": 1, "completion_tokens": 2}
                return LLMResponse(f"{self.config.model} {prompt} {sorted(options)}", usage=usage)
    """
    QUESTION = {"model": "big", "prompt": "Hi", "messages": [], "max_tokens": 5}

    def provider(self, more="", settings=None):
        body = textwrap.dedent(self.BODY) + textwrap.indent(textwrap.dedent(more), " " * 8) + "\n    return Mine\n"
        return make(self, body, "LLMProviderPlugin", settings)

    def test_models_are_those_told_set_or_the_plugins_name(self):
        self.assertEqual(self.provider().call("describe"), {"name": "mine", "models": ["mine"]})
        self.assertEqual(self.provider(settings={"model": "a"}).call("describe")["models"], ["a"])
        self.assertEqual(self.provider(settings={"model": "a", "models": ["b"]}).call("describe")["models"], ["b"])
        told = self.provider("def list_models(self): return [{'name': 'c', 'context_length': 9}]", {"model": "a"})
        self.assertEqual(told.call("describe")["models"], [{"name": "c", "context_length": 9}])

    def test_a_question_goes_to_a_provider_for_its_model_without_what_only_the_platform_names(self):
        plugin = self.provider(settings={"model": "small"})
        answer = plugin.call("answer", question=self.QUESTION)
        self.assertEqual(answer["content"], "big Hi ['max_tokens']")
        self.assertEqual(answer["usage"]["completion_tokens"], 2)
        self.assertEqual(plugin.stream("answer", question=self.QUESTION), [], "one in one piece is told by its end")

    def test_a_stream_passes_its_pieces_on_and_ends_with_what_it_used(self):
        more = """
        async def generate_stream(self, prompt, system_prompt=None):
            yield "a"
            yield LLMResponse("b")
            yield LLMResponse("", usage={"prompt_tokens": 3, "completion_tokens": 4}, finish_reason="length")
        """
        plugin = self.provider(more)
        self.assertEqual(plugin.stream("answer", question=self.QUESTION), ["a", "b"])
        answer = json.loads(plugin._call(plugin._runner.call_method, "answer", json.dumps({"question": self.QUESTION}), True))
        self.assertEqual((answer["content"], answer["finish_reason"]), ("ab", "length"))
        self.assertEqual(answer["usage"]["prompt_tokens"], 3)

    def test_an_answer_that_is_none_is_refused(self):
        plugin = self.provider("async def generate(self, prompt): return 7")
        with self.assertRaisesRegex(PluginValidationError, "Mine answered int"):
            plugin.call("answer", question=self.QUESTION)


class StreamedReplies(unittest.TestCase):
    def test_lines_come_whole_however_they_are_cut(self):
        host = LocalHost()
        pieces = [b"a\r\nb\xc3", b"\xa4", b"c\n", b"", b"d"]
        host.http_open = lambda *_: (7, 200, [("X-A", "b")])
        host.http_next = lambda number: pieces.pop(0) if pieces else None
        closed = []
        host.http_close = closed.append
        before = _host.install(host)
        self.addCleanup(_host.install, before)
        with http.stream("GET", "https://api.example.org/") as reply:
            self.assertEqual((reply.ok, reply.headers["x-a"]), (True, "b"))
            self.assertEqual(list(reply.iter_lines()), ["a", "b\u00e4c", "d"])
        self.assertEqual(closed, [7])


if __name__ == "__main__":
    unittest.main()
