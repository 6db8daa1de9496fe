#!/bin/sh
# Boots Debian machines and lives through an operator's story on each: tests/vm/run.sh BINARY [SUITE..]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binary=$1
shift
[ $# -gt 0 ] || set -- bookworm
stick=$(mktemp -d)
trap 'rm -rf "$stick"' EXIT
# What tests run is as large as what can be debugged; a stick gets what is shipped.
strip -o "$stick/resoftai" "$binary"
version=$("$stick/resoftai" --version | cut -d ' ' -f 2)
bundle=$(sh "$here/../../packaging/bundle.sh" "$stick/resoftai" "$version" "$stick/bundle.tar.gz")
again=$(sh "$here/../../packaging/bundle.sh" "$stick/resoftai" "$version" "$stick/again.tar.gz")
cmp "$bundle" "$again" || { echo "two bundles of one binary differ" >&2; exit 1; }
mkdir "$stick/medium"
tar -C "$stick/medium" -xzf "$bundle"
mkdir "$stick/packages"
sh "$here/../../packaging/deb.sh" "$stick/medium/resoftai-$version-linux-x86_64" "$stick/packages/resoftai.deb"
for suite in "$@"; do
    root=$(sh "$here/rootfs.sh" "$suite")
    echo "== $suite"
    sh "$here/boot.sh" "$root" "$here/story.sh" "$stick/medium"
    sh "$here/boot.sh" "$root" "$here/packages.sh" "$stick/packages"
done
