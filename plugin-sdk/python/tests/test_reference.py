"""The page about the SDK says what the SDK says of itself."""

import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference

PAGE = HERE.parent.parent.parent / "docs/plugins/sdk.md"


class Reference(unittest.TestCase):
    def test_the_page_is_up_to_date(self):
        if os.environ.get("UPDATE_DOCS"):
            PAGE.write_text(reference.page(), encoding="utf-8")
        self.assertEqual(PAGE.read_text(encoding="utf-8"), reference.page(), "run this test with UPDATE_DOCS=1")


if __name__ == "__main__":
    unittest.main()
