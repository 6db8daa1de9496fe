import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent


class DesignerTest(unittest.TestCase):
    def setUp(self):
        self.words, self.asked = "GET /bikes lists the bikes.", []

        def model(request):
            self.asked.append(request)
            return {"content": self.words}

        self.plugin = LoadedPlugin(FOLDER, host=LocalHost(llm=model))

    def assign(self):
        return self.plugin.call("handle_task_assignment", task={"description": "Sell bikes.", "project": "Shop"})

    def test_it_says_who_it_is_and_that_it_works_by_itself(self):
        agent = self.plugin.call("describe")
        self.assertEqual((agent["role"], agent["works_by"]), ("api_designer", "handle_task_assignment"))
        self.assertEqual(agent["responsible_stages"], ["api_design"])

    def test_it_hands_in_the_models_design(self):
        work = self.assign()
        self.assertEqual(work["artifacts"], {"docs/api.md": "# API of Shop\n\nGET /bikes lists the bikes.\n"})
        self.assertEqual(self.asked[0]["messages"][1]["content"], "Sell bikes.")

    def test_an_empty_answer_is_a_failure_and_no_empty_file(self):
        self.words = "  "
        self.assertEqual(self.assign()["status"], "failed")
