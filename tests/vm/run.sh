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
# The next version is this one with another number; two more of it do not start, and never come to an end.
next=${version%.*}.$((${version##*.} + 1))
LC_ALL=C sed "s/$(printf '%s' "$version" | sed 's/\./\\./g')/$next/g" "$stick/resoftai" >"$stick/next"
chmod 0755 "$stick/next"
"$stick/resoftai" vendor release keygen --without-passphrase -o "$stick/key" >/dev/null
cp "$stick/key.pub" "$stick/medium/"
RELEASE_KEY=$stick/key sh "$here/../../packaging/bundle.sh" "$stick/next" "$next" "$stick/medium/next.tar.gz"
for what in "fails:echo 'no such luck' >&2; exit 1" "hangs:exec sleep 1000"; do
    cat >"$stick/${what%%:*}" <<P
#!/bin/sh
case "\$*" in
    "vendor release"*) exec $stick/resoftai "\$@" ;;
    *--version*) echo "resoftai $next" ;;
    *rehearse*) echo '{"steps":[],"problems":[],"plugins":[]}' ;;
    *serve*) ${what#*:} ;;
esac
P
    chmod 0755 "$stick/${what%%:*}"
    RELEASE_KEY=$stick/key sh "$here/../../packaging/bundle.sh" "$stick/${what%%:*}" "$next" "$stick/medium/${what%%:*}.tar.gz"
done
mkdir "$stick/packages"
sh "$here/../../packaging/deb.sh" "$stick/medium/resoftai-$version-linux-x86_64" "$stick/packages/resoftai.deb"
for suite in "$@"; do
    root=$(sh "$here/rootfs.sh" "$suite")
    echo "== $suite"
    sh "$here/boot.sh" "$root" "$here/story.sh" "$stick/medium"
    sh "$here/boot.sh" "$root" "$here/packages.sh" "$stick/packages"
done
