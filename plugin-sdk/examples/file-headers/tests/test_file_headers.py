import unittest
from pathlib import Path

from resoftai.testing import LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent


class FileHeadersTest(unittest.TestCase):
    def test_a_written_file_gets_its_header_once(self):
        host = LocalHost(files={"a.py": b"print(1)\n", "notes.txt": b"print(1)\n"})
        plugin = LoadedPlugin(FOLDER, {"header": "Acme"}, host)
        for path in ("a.py", "notes.txt", "a.py"):
            plugin.do_action("file.create.after", {"actor": "user", "path": path})
        self.assertEqual(host.files, {"a.py": b"# Acme\nprint(1)\n", "notes.txt": b"print(1)\n"})

    def test_what_plugins_wrote_is_left_alone(self):
        host = LocalHost(files={"a.py": b"print(1)\n"})
        LoadedPlugin(FOLDER, {"header": "Acme"}, host).do_action("file.update.after", {"actor": "system", "path": "a.py"})
        self.assertEqual(host.files["a.py"], b"print(1)\n")

    def test_at_the_end_of_a_run_all_files_are_looked_at(self):
        host = LocalHost(files={"a.py": b"#!/usr/bin/env python3\nprint(1)\n", "src/b.py": b"# Acme\n", "c.txt": b""})
        LoadedPlugin(FOLDER, {"header": "Acme"}, host).do_action("project.execute.complete", {"actor": "user"})
        self.assertEqual(host.files["a.py"], b"#!/usr/bin/env python3\n# Acme\nprint(1)\n")
        self.assertEqual(host.lines, [("info", "1 files have a header now.")])


if __name__ == "__main__":
    unittest.main()
