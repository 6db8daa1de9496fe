import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent


class {{class}}Test(unittest.TestCase):
    def test_it_counts(self):
        plugin = LoadedPlugin(FOLDER)
        for path in ("a.py", "b.py"):
            plugin.do_action("file.create.after", {"path": path})
        self.assertEqual(plugin.host.kv["files"], "2")
        self.assertIn(("info", "2 files were made, the last one is b.py."), plugin.host.lines)
