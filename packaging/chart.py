"""Packs the Helm chart, the same bytes each time: chart.py VERSION BUILT OUTPUT.tgz. BUILT is the time in seconds since 1970."""

import gzip
import io
import pathlib
import sys
import tarfile

CHART = pathlib.Path(__file__).resolve().parent / "helm"


def main(version, built, output):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file in sorted(file for file in CHART.rglob("*") if file.is_file()):
            content = file.read_bytes()
            if file.name == "Chart.yaml":
                content = content.replace(b"ersion: 0.0.0", b"ersion: " + version.encode())
            entry = tarfile.TarInfo(f"resoftai/{file.relative_to(CHART)}")
            entry.size, entry.mode, entry.mtime = len(content), 0o644, int(built)
            tar.addfile(entry, io.BytesIO(content))
    pathlib.Path(output).write_bytes(gzip.compress(made.getvalue(), mtime=0))
    print(output)


main(*sys.argv[1:])
