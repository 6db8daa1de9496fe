#!/bin/sh
# Builds the Python runtime of the plugin sandbox: build.sh OUT_DIR writes OUT_DIR/python-runtime.cwasm.zst, and
# OUT_DIR/plugin-compiler.zst where that is missing or old.
#
# Needs python3 (3.10 or later, with venv and pip) and cargo. The finished file is as large as 15 MB and takes two minutes
# of a processor, so nothing is done while its inputs are unchanged: the contract, the SDK, the loader, this script, and
# the compiler. What any clone of this account built of the same inputs is taken from the cache folder.
set -eu

COMPONENTIZE_PY=0.25.1
TZDATA=2026.6

[ $# -eq 1 ] || { echo "usage: $0 OUT_DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
sdk=$(dirname "$here")
root=$(dirname "$sdk")
mkdir -p "$1"
out=$(cd "$1" && pwd)
result=$out/python-runtime.cwasm.zst
stamp=$out/python-runtime.stamp
cache=${XDG_CACHE_HOME:-$HOME/.cache}/resoftai/parts
work=$out/python-runtime.build

inputs() {
    cd "$root"
    find plugin-sdk/wit plugin-sdk/python/resoftai plugin-sdk/python-runtime -type f ! -name '*.pyc' \
        | LC_ALL=C sort | xargs sha256sum
    cat "$out/plugin-compiler.stamp"
}

sh "$root/src/plugins/sandbox/build.sh" "$out"
wanted=$(inputs | sha256sum | cut -d ' ' -f 1)
if [ -s "$result" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    echo "python-runtime: up to date"
    exit 0
fi
if [ -s "$cache/python-runtime-$wanted.zst" ]; then
    cp "$cache/python-runtime-$wanted.zst" "$result.new"
    mv "$result.new" "$result"
    echo "$wanted" > "$stamp"
    echo "python-runtime: taken from $cache"
    exit 0
fi

if [ ! -x "$work/venv/bin/componentize-py" ] ||
    [ "$(cat "$work/venv/versions" 2>/dev/null || true)" != "$COMPONENTIZE_PY $TZDATA" ]; then
    rm -rf "$work"
    mkdir -p "$work"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --no-deps \
        "componentize-py==$COMPONENTIZE_PY" "tzdata==$TZDATA"
    echo "$COMPONENTIZE_PY $TZDATA" > "$work/venv/versions"
fi

# Only what belongs in the image is on the path; the empty environment keeps the machine's own packages out.
rm -rf "$work/app" "$work/none"
mkdir -p "$work/app" "$work/none/lib/python3/site-packages"
cp -R "$here/resoftai_guest" "$sdk/python/resoftai" "$work/app/"
cp -R "$("$work/venv/bin/python" -c 'import tzdata, os; print(os.path.dirname(tzdata.__file__))')" "$work/app/tzdata"
find "$work/app" -name __pycache__ -prune -exec rm -rf {} +
VIRTUAL_ENV=$work/none "$work/venv/bin/componentize-py" -q -d "$sdk/wit" -w plugin \
    componentize -p "$work/app" resoftai_guest -o "$work/runtime.wasm"

zstd --quiet --force --decompress "$out/plugin-compiler.zst" -o "$work/plugin-compiler"
chmod +x "$work/plugin-compiler"
"$work/plugin-compiler" 19 < "$work/runtime.wasm" > "$result.new"
mv "$result.new" "$result"
echo "$wanted" > "$stamp"
ls -l "$result"
mkdir -p "$cache"
cp "$result" "$cache/python-runtime-$wanted.new"
mv "$cache/python-runtime-$wanted.new" "$cache/python-runtime-$wanted.zst"
