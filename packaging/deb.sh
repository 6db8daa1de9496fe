#!/bin/sh
# Makes a Debian package of an unpacked bundle, the same bytes each time: packaging/deb.sh FOLDER OUTPUT.deb
set -eu
folder=$1 output=$2
here=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$folder/VERSION")
SOURCE_DATE_EPOCH=$(cat "$folder/BUILT")
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022
mkdir "$root"
sh "$here/tree.sh" "$folder" "$root"
# Where Debian looks for them.
doc=$root/usr/share/doc/resoftai
{
    echo "ResoftAI is under the Apache License 2.0, whose text is in /usr/share/common-licenses/Apache-2.0."
    echo "What it is made of, and under which licences, is in /usr/share/doc/resoftai/LICENSES/INDEX.txt."
    echo "Copyright: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y), the authors of ResoftAI"
} >"$doc/copyright"
rm "$doc/LICENSE"
printf 'resoftai (%s) stable; urgency=medium\n\n  * Version %s.\n\n -- ResoftAI <releases@resoftai.com>  %s\n' "$version" "$version" \
    "$(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')" | gzip -n -9 >"$doc/changelog.gz"
mkdir "$root/DEBIAN"
cp "$here/deb/postinst" "$here/deb/prerm" "$here/deb/postrm" "$root/DEBIAN/"
chmod 0755 "$root/DEBIAN/"*
echo /etc/resoftai/config.toml >"$root/DEBIAN/conffiles"
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
cat >"$root/DEBIAN/control" <<C
Package: resoftai
Version: $version
Architecture: amd64
Maintainer: ResoftAI <releases@resoftai.com>
Installed-Size: $(du -sk --apparent-size "$root" | cut -f 1)
Depends: systemd (>= 239)
Section: devel
Priority: optional
Description: AI agents that build software on a site's own models
 One statically linked server for sites without internet: web pages, HTTP API,
 database, plugin sandbox, mirror, backups. Nothing is fetched from outside.
C
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$(dirname "$output")"
# Debian 11's dpkg reads no zstd.
dpkg-deb --root-owner-group -Zxz -z6 --build "$root" "$output" >/dev/null
echo "$output"
