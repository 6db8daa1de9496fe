import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent


class {{class}}Test(unittest.TestCase):
    def test_it_has_a_name_and_stages_in_order(self):
        plugin = LoadedPlugin(FOLDER)
        self.assertEqual((plugin.api, plugin.tool_name), ("workflow", "{{name}}"))
        stages = plugin.call("get_workflow_stages")
        self.assertLess(stages.index("development"), stages.index("testing"))
