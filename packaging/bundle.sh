#!/bin/sh
# Packs the release bundle, the same bytes from the same binary: packaging/bundle.sh BINARY VERSION OUTPUT.tar.gz
#
# SOURCE_DATE_EPOCH is the time that all files in it get; the last commit's unless it is set. RELEASE_KEY, the file of a private
# key of minisign's, signs it; signatures have randomness in them, so only an unsigned bundle is the same each time.
# docs/operator/packages.md says how the bundle is laid out.
set -eu
binary=$(realpath "$1") version=$2 output=$3
root=$(cd "$(dirname "$0")/.." && pwd)
built=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
name=resoftai-$version-linux-x86_64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/$name
mkdir "$folder"
cp "$binary" "$folder/resoftai"
cp "$root/installer/install.sh" "$root/installer/uninstall.sh" "$root/installer/config.toml" "$root/LICENSE" "$folder/"
cp -r "$root/systemd" "$root/docs" "$root/packaging/monitoring" "$folder/"
python3 "$root/packaging/components.py" "$version" "$folder"
echo "$version" >"$folder/VERSION"
echo "$built" >"$folder/BUILT"
find "$folder" -type d -exec chmod 0755 {} +
find "$folder" -type f -exec chmod 0644 {} +
chmod 0755 "$folder/resoftai" "$folder/install.sh" "$folder/uninstall.sh"
(cd "$folder" && find -- * -type f | LC_ALL=C sort | xargs sha256sum >"$work/SHA256SUMS")
mv "$work/SHA256SUMS" "$folder/"
if [ -n "${RELEASE_KEY:-}" ]; then
    "$binary" vendor release sign "$folder/SHA256SUMS" --key "$RELEASE_KEY" --release "$version" \
        --output "$folder/RESOFTAI-BUNDLE.minisig" >&2
fi
find "$folder" -maxdepth 1 \( -name SHA256SUMS -o -name RESOFTAI-BUNDLE.minisig \) -exec chmod 0644 {} +
# The signature and the sums come first, so that the rest can be judged as it is read.
{
    echo "$name"
    (cd "$work" && ls -d "$name"/RESOFTAI-BUNDLE.minisig "$name"/SHA256SUMS 2>/dev/null) || true
    (cd "$work" && find "$name" -mindepth 1 ! -path "$name/SHA256SUMS" ! -path "$name/RESOFTAI-BUNDLE.minisig" | LC_ALL=C sort)
} >"$work/order"
mkdir -p "$(dirname "$output")"
tar -C "$work" --no-recursion -T "$work/order" --mtime="@$built" --owner=0 --group=0 --numeric-owner --format=ustar -cf "$work/bundle.tar"
gzip -n -6 <"$work/bundle.tar" >"$output"
echo "$output"
