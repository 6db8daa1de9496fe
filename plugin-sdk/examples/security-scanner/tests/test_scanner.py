"""The scanner under plain CPython."""

import unittest
from pathlib import Path

from resoftai.plugins.errors import PluginValidationError
from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent

VULNERABLE = {
    "sql_injection": [
        'cursor.execute("SELECT * FROM users WHERE name = \'%s\'" % name)',
        'db.execute(f"DELETE FROM t WHERE id = {id}")',
        'sql = "SELECT * FROM t WHERE id = " + id',
        'sql = "SELECT * FROM t WHERE id = {}".format(id)',
        "cursor.execute(query + name)",
    ],
    "code_execution": ["result = eval(text)", "exec(code)"],
    "hardcoded_secret": ['password = "hunter2-really"', "API_KEY = 'sk-0123456789'", '"secret_key": "abcdefgh"'],
    "command_injection": ["subprocess.run(cmd, shell=True)", 'os.system("rm " + path)'],
    "weak_hash": ["hashlib.md5(data)", 'hashlib.new("sha1")'],
    "path_traversal": ['open("/srv/" + name)', "open(request.args['file'])", "os.path.join(root, request.args['f'])"],
}
HARMLESS = """
# eval(text) is what this comment is about
cursor.execute("SELECT * FROM users WHERE id = ?", (id,))
model.eval()
retrieval(text)
password = os.environ["PASSWORD"]
password = ""
subprocess.run(["ls", path])
hashlib.sha256(data)
open("settings.json")
with open(path) as file: pass
percent = "%d %%" % 5
"""


def scan(code, **settings):
    plugin = LoadedPlugin(FOLDER, settings)
    return plugin.apply_filter("code.analyze", {"code": code, "language": "python"})["security"]


class Scanner(unittest.TestCase):
    def test_registers_one_filter_with_priority_five(self):
        self.assertEqual(LoadedPlugin(FOLDER).hooks, [("code.analyze", "filter", 5)])

    def test_finds_every_kind(self):
        for kind, lines in VULNERABLE.items():
            for line in lines:
                with self.subTest(line):
                    self.assertEqual([issue["type"] for issue in scan(line)["issues"]], [kind])

    def test_leaves_harmless_code_alone(self):
        self.assertEqual(scan(HARMLESS), {"issues": [], "score": 100})

    def test_a_finding_says_where_and_what_to_do(self):
        [issue] = scan("\n\n  eval(x)\n")["issues"]
        self.assertEqual((issue["line"], issue["code"], issue["severity"]), (3, "eval(x)", "critical"))
        self.assertTrue(issue["message"] and issue["recommendation"])

    def test_threshold_is_honoured(self):
        code = "eval(x)\nos.system(x)\nhashlib.md5(x)"
        for threshold, count in [("low", 3), ("medium", 3), ("high", 2), ("critical", 1)]:
            with self.subTest(threshold):
                self.assertEqual(len(scan(code, severity_threshold=threshold)["issues"]), count)

    def test_a_wrong_threshold_is_refused(self):
        with self.assertRaises(PluginValidationError):
            LoadedPlugin(FOLDER, {"severity_threshold": "huge"})

    def test_score_never_goes_below_zero(self):
        self.assertEqual(scan("eval(x)\n" * 50)["score"], 0)


if __name__ == "__main__":
    unittest.main()
