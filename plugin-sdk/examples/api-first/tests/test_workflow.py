import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent


class WorkflowTest(unittest.TestCase):
    def test_the_api_is_designed_before_development(self):
        plugin = LoadedPlugin(FOLDER)
        self.assertEqual((plugin.api, plugin.call("get_workflow_name")), ("workflow", "API first"))
        stages = plugin.call("get_workflow_stages")
        names = [stage if isinstance(stage, str) else stage["name"] for stage in stages]
        self.assertLess(names.index("api_design"), names.index("development"))
        self.assertTrue(stages[names.index("api_design")]["optional"])
