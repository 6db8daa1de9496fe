#!/bin/sh
# Builds the compiler of components: build.sh OUT_DIR writes OUT_DIR/plugin-compiler.zst. The Python runtime is made with it.
#
# Needs cargo, strip and zstd (installed with apt-get when missing and root). It takes seven minutes of a processor, so
# nothing is done while its inputs are unchanged: its source, what configures the engine, and the engine's version. What
# any clone of this account built of the same inputs is taken from the cache folder.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 OUT_DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
result=$out/plugin-compiler.zst
stamp=$out/plugin-compiler.stamp
cache=${XDG_CACHE_HOME:-$HOME/.cache}/resoftai/parts

inputs() {
    cd "$root"
    sha256sum src/plugins/sandbox/src/bin/plugin-compiler.rs src/plugins/sandbox/src/engine.rs \
        src/plugins/sandbox/Cargo.toml src/plugins/sandbox/build.sh .cargo/config.toml
    grep -A 2 -E '^name = "(wasmtime|wasmtime-environ|cranelift-codegen)"$' Cargo.lock
}

wanted=$(inputs | sha256sum | cut -d ' ' -f 1)
if [ -s "$result" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    echo "plugin-compiler: up to date"
    exit 0
fi
if ! command -v zstd >/dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends zstd
fi
if [ -s "$cache/plugin-compiler-$wanted.zst" ]; then
    cp "$cache/plugin-compiler-$wanted.zst" "$result.new"
    mv "$result.new" "$result"
    echo "$wanted" > "$stamp"
    echo "plugin-compiler: taken from $cache"
    exit 0
fi

# Fast to build, and fast enough for what it does once a build; the release profile would take ten times as long to build.
cd "$root"
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo build --quiet --release --locked -p resoftai-sandbox --features compile --bin plugin-compiler \
    --target x86_64-unknown-linux-gnu --target-dir "$root/target"
strip -o "$out/plugin-compiler.stripped" "$root/target/x86_64-unknown-linux-gnu/release/plugin-compiler"
zstd --quiet --force -19 "$out/plugin-compiler.stripped" -o "$result.new"
rm "$out/plugin-compiler.stripped"
mv "$result.new" "$result"
echo "$wanted" > "$stamp"
ls -l "$result"
mkdir -p "$cache"
find "$cache" -type f -mtime +30 -delete
cp "$result" "$cache/plugin-compiler-$wanted.new"
mv "$cache/plugin-compiler-$wanted.new" "$cache/plugin-compiler-$wanted.zst"
