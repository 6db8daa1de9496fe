import json
import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent


class WebServiceTest(unittest.TestCase):
    def test_it_offers_files_with_places_for_its_variables(self):
        plugin = LoadedPlugin(FOLDER)
        self.assertEqual((plugin.api, plugin.tool_name), ("template", "web-service"))
        files = plugin.call("get_template_files")
        self.assertIn("src/{{ name|snake_case }}/__main__.py", files)
        names = [variable["name"] for variable in json.loads((FOLDER / "template.json").read_text())["variables"]]
        for name in names:
            self.assertTrue(any(name in text for text in [*files, *files.values()]), name)


if __name__ == "__main__":
    unittest.main()
