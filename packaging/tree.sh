#!/bin/sh
# Lays an unpacked bundle out as packages have it: packaging/tree.sh FOLDER ROOT. What installer/install.sh puts into a machine.
set -eu
from=$1 to=$2
install -D -m 0755 "$from/resoftai" "$to/usr/bin/resoftai"
for unit in service socket; do install -D -m 0644 "$from/systemd/resoftai.$unit" "$to/usr/lib/systemd/system/resoftai.$unit"; done
install -D -m 0644 "$from/systemd/resoftai.sysusers" "$to/usr/lib/sysusers.d/resoftai.conf"
install -D -m 0644 "$from/systemd/resoftai.tmpfiles" "$to/usr/lib/tmpfiles.d/resoftai.conf"
install -d -m 0750 "$to/etc/resoftai"
sed 's/@LISTEN@/0.0.0.0:8443/' "$from/config.toml" >"$to/etc/resoftai/config.toml"
chmod 0640 "$to/etc/resoftai/config.toml"
install -d "$to/usr/share/doc"
cp -r "$from/docs" "$to/usr/share/doc/resoftai"
cp -r "$from/LICENSE" "$from/LICENSES" "$from/sbom.cdx.json" "$to/usr/share/doc/resoftai/"
