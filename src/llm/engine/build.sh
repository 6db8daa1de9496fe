#!/bin/sh
# Builds the model engine for two kinds of processor: build.sh OUT_DIR writes OUT_DIR/engine-x86-64.zst and
# OUT_DIR/engine-x86-64-v3.zst (AVX2, FMA, BMI2, F16C: three times as fast). The server carries both and takes what fits.
#
# Needs cargo, a C++ compiler, strip and zstd (installed with apt-get when missing and root). Nothing is done while the
# inputs are unchanged: the engine's sources, this script, and the versions in Cargo.lock.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 OUT_DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
stamp=$out/engine.stamp

# The versions of everything the engine is made of, not those of the rest of the product.
inputs() {
    cd "$root"
    find src/llm/engine/src src/llm/engine/Cargo.toml src/llm/engine/build.sh .cargo/config.toml -type f \
        | LC_ALL=C sort | xargs sha256sum
    cargo tree --locked -p resoftai-engine --target x86_64-unknown-linux-gnu --edges normal,build --prefix none \
        | sed 's/ (.*//' | LC_ALL=C sort -u
}

wanted=$(inputs | sha256sum | cut -d ' ' -f 1)
if [ -s "$out/engine-x86-64.zst" ] && [ -s "$out/engine-x86-64-v3.zst" ] &&
    [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    echo "engine: up to date"
    exit 0
fi
if ! command -v zstd >/dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends zstd
fi

# pack NAME TARGET_DIR: packs what cargo built there.
pack() {
    strip -o "$2/resoftai-engine.stripped" "$2/x86_64-unknown-linux-gnu/engine/resoftai-engine"
    zstd --quiet --force -12 "$2/resoftai-engine.stripped" -o "$out/$1.new"
    mv "$out/$1.new" "$out/$1"
    ls -l "$out/$1"
}

cd "$root"
# Where the engine's own tests are built, so that its dependencies are compiled once for both.
cargo build --quiet --locked -p resoftai-engine --profile engine --target-dir "$root/target"
pack engine-x86-64.zst "$root/target"
# RUSTFLAGS takes the place of those in .cargo/config.toml, so they are said again.
RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom" -C target-cpu=x86-64-v3' \
    cargo build --quiet --locked -p resoftai-engine --profile engine --target-dir "$root/target/engine-v3"
pack engine-x86-64-v3.zst "$root/target/engine-v3"
echo "$wanted" > "$stamp"
