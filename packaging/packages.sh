#!/bin/sh
# Makes every package of a bundle, the same bytes each time: packaging/packages.sh BUNDLE.tar.gz FOLDER. With RELEASE_KEY, the file
# of a private key of minisign's, their sums are signed.
set -eu
bundle=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xzf "$bundle"
folder=$(echo "$work"/resoftai-*)
version=$(cat "$folder/VERSION")
mkdir -p "$out"
out=$(realpath "$out")
sh "$here/deb.sh" "$folder" "$out/resoftai_${version}_amd64.deb"
sh "$here/rpm.sh" "$folder" "$out/resoftai-$version-1.x86_64.rpm"
python3 "$here/oci.py" "$folder" "$out/resoftai-$version-oci.tar"
python3 "$here/chart.py" "$version" "$(cat "$folder/BUILT")" "$out/resoftai-$version.tgz"
install -m 0644 "$here/kubernetes/resoftai.yaml" "$out/kubernetes.yaml"
install -m 0644 "$here/compose.yaml" "$out/compose.yaml"
(cd "$out" && find . -maxdepth 1 -type f ! -name 'SHA256SUMS*' | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum >"$work/SHA256SUMS")
install -m 0644 "$work/SHA256SUMS" "$out/SHA256SUMS"
if [ -n "${RELEASE_KEY:-}" ]; then
    "$folder/resoftai" vendor release sign "$out/SHA256SUMS" --key "$RELEASE_KEY" --release "$version" >&2
fi
