#!/bin/sh
# Makes an RPM package of an unpacked bundle, the same bytes each time: packaging/rpm.sh FOLDER OUTPUT.rpm
set -eu
folder=$(realpath "$1") output=$2
here=$(cd "$(dirname "$0")" && pwd)
SOURCE_DATE_EPOCH=$(cat "$folder/BUILT")
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
mkdir "$work/root"
sh "$here/tree.sh" "$folder" "$work/root"
# Versions have no hyphen there; a tilde sorts before the release as a hyphen does in semver.
rpmbuild -bb --quiet --target x86_64-linux --define "_topdir $work/rpm" --define "tree $work/root" \
    --define "release_version $(tr - '~' <"$folder/VERSION")" "$here/rpm/resoftai.spec" >&2
mkdir -p "$(dirname "$output")"
mv "$work"/rpm/RPMS/x86_64/*.rpm "$output"
echo "$output"
