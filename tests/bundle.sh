#!/bin/sh
# Proves what docs/operator/packages.md says of releases: tests/bundle.sh BINARY, also one for tests.
# The same bytes each time, sums and signatures that tools of others find right, and no bundle that somebody touched.
set -eu
binary=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
packaging=$here/../packaging
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
die() { echo "FAILED: $*" >&2; exit 1; }
# refused WORDS COMMAND..: the command fails and says so.
refused() {
    words=$1
    shift
    if "$@" >said 2>&1; then die "this was taken: $*"; fi
    grep -q "$words" said || die "$(cat said) does not say: $words"
}
# What is packed need not be large.
printf '#!/bin/sh\nexec %s "$@"\n' "$binary" >resoftai
chmod +x resoftai
# The machine's settings are not the test's.
export RESOFTAI_DATA_DIR="$work/none"
verify() { "$binary" verify "$@"; }
sign() { "$binary" vendor release sign "$@" >/dev/null; }
version=$("$binary" --version | cut -d ' ' -f 2)
name=resoftai-$version-linux-x86_64

# --- the same bytes, whole -----------------------------------------------------------------------------------------------
sh "$packaging/bundle.sh" ./resoftai "$version" one.tar.gz >/dev/null
(umask 077; TZ=Asia/Tokyo LC_ALL=C.UTF-8 sh "$packaging/bundle.sh" ./resoftai "$version" two.tar.gz >/dev/null)
cmp one.tar.gz two.tar.gz || die "two bundles of one binary differ"
mkdir un && tar -C un -xzf one.tar.gz
(cd "un/$name" && sha256sum -c --quiet --strict SHA256SUMS) || die "the sums are wrong"
listed=$(wc -l <"un/$name/SHA256SUMS")
[ "$(find "un/$name" -type f | wc -l)" = $((listed + 1)) ] || die "a file has no sum"
for file in LICENSE LICENSES/INDEX.txt sbom.cdx.json docs/cli.md systemd/resoftai.service; do
    [ -s "un/$name/$file" ] || die "the bundle has no $file"
done
refused "nobody signed it" verify one.tar.gz --key "$(printf 'RWQ%053d' 0)"

# --- signed here, verified by minisign, and the other way round -----------------------------------------------------------
"$binary" vendor release keygen --without-passphrase -o ours >/dev/null
"$binary" vendor release keygen --without-passphrase -o other >/dev/null
printf 'a passphrase\na passphrase\n' | minisign -G -p theirs.pub -s theirs >/dev/null
[ "$(stat -c %a ours)" = 600 ] || die "the private key is open to others"
RELEASE_KEY=ours sh "$packaging/bundle.sh" ./resoftai "$version" signed.tar.gz >/dev/null
verify signed.tar.gz --key ours.pub >/dev/null || die "a signed bundle is not taken"
RESOFTAI_RELEASE_TRUSTED_KEYS=$(tail -n 1 ours.pub) verify signed.tar.gz >/dev/null || die "the setting is of no use"
refused "none of the keys" verify signed.tar.gz --key other.pub
rm -rf un && mkdir un && tar -C un -xzf signed.tar.gz
minisign -Vqm "un/$name/SHA256SUMS" -x "un/$name/RESOFTAI-BUNDLE.minisig" -p ours.pub || die "minisign does not verify ours"
echo content >file
as_them() { printf 'a passphrase\n' | minisign -S -s theirs -m file "$@" >/dev/null; }
as_them -t "timestamp:1	file:file	version:9"
verify file --key theirs.pub | grep -q "version:9" || die "a signature of minisign's is not taken"
printf 'a passphrase' | sign file --key theirs --passphrase-stdin -o with-theirs.minisig
minisign -Vqm file -x with-theirs.minisig -p theirs.pub || die "a key of minisign's is of no use"
printf 'a passphrase' | "$binary" vendor release keygen --passphrase-stdin -o sealed >/dev/null
printf 'a passphrase' | sign file --key sealed --passphrase-stdin -o sealed.minisig
minisign -Vqm file -x sealed.minisig -p sealed.pub || die "an encrypted key is of no use"
printf 'another' >wrong
refused "private key cannot be used" sh -c "'$binary' vendor release sign file --key sealed --passphrase-stdin <wrong"
refused "built without a key" verify file

# --- whatever was touched is refused --------------------------------------------------------------------------------------
sign file --key ours
verify file --key ours.pub >/dev/null
minisign -Vqm file -p ours.pub
sed 's/^trusted comment: .*/trusted comment: version:9/' file.minisig >swapped.minisig
refused "another comment" verify file --signature swapped.minisig --key ours.pub
if minisign -Vqm file -x swapped.minisig -p ours.pub 2>/dev/null; then die "minisign takes a swapped comment"; fi
sign resoftai --key ours -o of-another.minisig
refused "another content" verify file --signature of-another.minisig --key ours.pub
as_them -l -x legacy.minisig
refused "of the old kind" verify file --signature legacy.minisig --key theirs.pub
head -c 40 file.minisig >cut.minisig
refused "not in minisign's form" verify file --signature cut.minisig --key ours.pub
echo more >>file
refused "another content" verify file --key ours.pub

# again FOLDER: the bundle of a folder that somebody changed, in the order of the first.
again() {
    { echo "$name"; echo "$name/RESOFTAI-BUNDLE.minisig"; echo "$name/SHA256SUMS"
        find "$name" -mindepth 1 ! -name SHA256SUMS ! -name RESOFTAI-BUNDLE.minisig | LC_ALL=C sort; } >order
    tar --no-recursion -T order --format=ustar -cf - | gzip -n -1 >"$1"
}
touched() {
    words=$1
    (cd un && sh -c "cd '$name' && $2" && again ../touched.tar.gz)
    refused "$words" verify touched.tar.gz --key ours.pub
    rm -rf un && mkdir un && tar -C un -xzf signed.tar.gz
}
touched "docs/cli.md is not what" "printf x >>docs/cli.md"
touched "resoftai is not what" "printf x | dd of=resoftai bs=1 seek=5 conv=notrunc status=none"
touched "docs/more.md is not in" "echo more >docs/more.md"
touched "cli.md is in SHA256SUMS and not" "rm docs/cli.md"
touched "does not count" "sed -i 's/^0/1/; s/^1/2/' SHA256SUMS"
touched "no file as a bundle has them" "rm docs/cli.md && ln -s /etc/passwd docs/cli.md"
touched "is for version 9" "'$binary' vendor release sign SHA256SUMS --key '$work/ours' --release 9 -o RESOFTAI-BUNDLE.minisig >/dev/null"
{ cat signed.tar.gz; echo more; } >longer.tar.gz
refused "something follows" verify longer.tar.gz --key ours.pub
head -c 100000 signed.tar.gz >shorter.tar.gz
refused "it is damaged" verify shorter.tar.gz --key ours.pub
echo "the bundle is the same each time, whole, and signed as minisign does"
