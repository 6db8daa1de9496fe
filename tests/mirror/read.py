"""Reads a repository as python-tuf's client does, from its first root on: read.py FOLDER TARGET.."""

import sys
import tempfile
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class Files(FetcherInterface):
    def _fetch(self, url: str):
        path = Path(url.removeprefix("file://"))
        if not path.exists():
            raise DownloadHTTPError(f"{path} is not there", 404)
        yield path.read_bytes()


folder = Path(sys.argv[1]).resolve()
with tempfile.TemporaryDirectory() as own:
    updater = Updater(
        metadata_dir=own,
        metadata_base_url=f"file://{folder}/metadata/",
        target_dir=own,
        target_base_url=f"file://{folder}/targets/",
        fetcher=Files(),
        bootstrap=(folder / "metadata/1.root.json").read_bytes(),
    )
    updater.refresh()
    print(updater._trusted_set.root.version, "root")
    for name in sys.argv[2:]:
        target = updater.get_targetinfo(name)
        assert target is not None, f"{name} is not listed"
        updater.download_target(target, filepath=f"{own}/target")
        print(name)
