"""The SDK as authors install it."""

import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

SDK = Path(__file__).parent.parent


class Wheel(unittest.TestCase):
    def test_it_builds_and_holds_every_module(self):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            shutil.copytree(SDK, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
            command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--quiet", "-w", folder]
            built = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(built.returncode, 0, built.stderr)
            [wheel] = Path(folder).glob("resoftai-*-py3-none-any.whl")
            held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("resoftai/")}
        there = {path.relative_to(SDK).as_posix() for path in (SDK / "resoftai").rglob("*") if path.is_file()}
        self.assertEqual(held, {path for path in there if "__pycache__" not in path})


if __name__ == "__main__":
    unittest.main()
