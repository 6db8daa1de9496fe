#!/bin/sh
# Packs the release bundle, the same bytes from the same binary: packaging/bundle.sh BINARY VERSION OUTPUT.tar.gz
# SOURCE_DATE_EPOCH is the time that all files in it get; the last commit's unless it is set.
set -eu
binary=$1 version=$2 output=$3
root=$(cd "$(dirname "$0")/.." && pwd)
built=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
name=resoftai-$version-linux-x86_64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/$name
mkdir "$folder"
cp "$binary" "$folder/resoftai"
cp "$root/installer/install.sh" "$root/installer/uninstall.sh" "$root/installer/config.toml" "$root/LICENSE" "$folder/"
cp -r "$root/systemd" "$root/docs" "$folder/"
echo "$version" >"$folder/VERSION"
echo "$built" >"$folder/BUILT"
find "$folder" -type d -exec chmod 0755 {} +
find "$folder" -type f -exec chmod 0644 {} +
chmod 0755 "$folder/resoftai" "$folder/install.sh" "$folder/uninstall.sh"
(cd "$folder" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
chmod 0644 "$folder/SHA256SUMS"
mkdir -p "$(dirname "$output")"
tar -C "$work" --sort=name --mtime="@$built" --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" | gzip -n -9 >"$output"
echo "$output"
