#!/bin/sh
# Builds the Python runtime of the plugin sandbox: build.sh OUT_DIR writes OUT_DIR/python-runtime.cwasm.zst.
#
# Needs python3 (3.10 or later, with venv and pip) and cargo. The finished file is as large as 15 MB and takes a few
# minutes, so nothing is done while its inputs are unchanged: the contract, the SDK, the loader, this script, the Rust
# files that configure the engine, and the engine's version.
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
work=$out/python-runtime.build

inputs() {
    cd "$root"
    find plugin-sdk/wit plugin-sdk/python/resoftai plugin-sdk/python-runtime src/plugins/sandbox/src/bin \
        src/plugins/sandbox/src/engine.rs src/plugins/sandbox/Cargo.toml \
        -type f ! -name '*.pyc' | LC_ALL=C sort | xargs sha256sum
    grep -A 2 -E '^name = "(wasmtime|wasmtime-environ|cranelift-codegen)"$' Cargo.lock
}

wanted=$(inputs | sha256sum | cut -d ' ' -f 1)
if [ -s "$result" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    echo "python-runtime: up to date"
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

# Fast to build and fast enough to run once; the product's own release profile would take ten times as long.
cd "$root"
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo build --quiet --release --locked -p resoftai-sandbox --features compile --bin precompile \
    --target x86_64-unknown-linux-gnu --target-dir "$root/target"
"$root/target/x86_64-unknown-linux-gnu/release/precompile" "$work/runtime.wasm" "$result.new"
mv "$result.new" "$result"
echo "$wanted" > "$stamp"
ls -l "$result"
