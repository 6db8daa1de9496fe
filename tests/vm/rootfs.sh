#!/bin/sh
# Makes a Debian root file system with systemd, once: tests/vm/rootfs.sh SUITE. Prints its folder. Needs root.
set -eu
suite=$1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/resoftai/vm
root=$cache/$suite
[ "$(id -u)" = 0 ] || { echo "tests/vm needs root: it boots machines in containers." >&2; exit 1; }
sh "$(dirname "$0")/../install.sh" systemd-container mmdebstrap >&2
if [ ! -e "$root.ready" ]; then
    rm -rf "$root"
    mkdir -p "$cache"
    mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,kmod,procps,iproute2 \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$suite" "$root" >&2
    touch "$root.ready"
fi
echo "$root"
