import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent


class {{class}}Test(unittest.TestCase):
    def setUp(self):
        self.asked = []

        def model(request):
            self.asked.append(request)
            return {"content": "1. Say how to install it."}

        self.plugin = LoadedPlugin(FOLDER, host=LocalHost(llm=model))

    def test_it_says_who_it_is(self):
        agent = self.plugin.call("describe")
        self.assertEqual((agent["role"], agent["name"]), ("{{role}}", "{{name}}"))
        self.assertEqual(agent["responsible_stages"], ["documentation_review"])

    def test_it_answers_through_the_model(self):
        answer = self.plugin.call("process_request", request="Review: README")
        self.assertEqual(answer, "1. Say how to install it.")
        self.assertEqual([message["role"] for message in self.asked[0]["messages"]], ["system", "user"])
