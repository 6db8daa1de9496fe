import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent


class {{class}}Test(unittest.TestCase):
    def analyze(self, code, **settings):
        return LoadedPlugin(FOLDER, settings).call("analyze_code", code=code, language="python")

    def test_clean_code_has_the_full_score(self):
        self.assertEqual(self.analyze("x = 1\n"), {"issues": [], "score": 100})

    def test_a_finding_says_where(self):
        [issue] = self.analyze("x = 1\nlong_name = 2\n", max_length=10)["issues"]
        self.assertEqual((issue["type"], issue["line"]), ("line_length", 2))

    def test_what_it_mends_it_no_longer_finds(self):
        fixed = LoadedPlugin(FOLDER).call("fix_code", code="x = 1  \n", language="python")
        self.assertEqual(self.analyze(fixed)["issues"], [])
