import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent


class {{class}}Test(unittest.TestCase):
    def test_it_offers_a_program_that_compiles(self):
        plugin = LoadedPlugin(FOLDER)
        self.assertEqual((plugin.api, plugin.tool_name), ("template", "{{name}}"))
        files = plugin.call("get_template_files")
        self.assertEqual(sorted(files), ["README.md", "app/main.py"])
        compile(files["app/main.py"], "app/main.py", "exec")
