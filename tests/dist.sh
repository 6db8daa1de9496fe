#!/bin/sh
# Proves that a binary is one file: no interpreter, no library, and it answers in an empty chroot. Who is not root needs
# user namespaces for that.
set -eu
binary=$1
if readelf -l "$binary" | grep -q INTERP; then echo "$binary asks for an interpreter" >&2; exit 1; fi
if ! readelf -h "$binary" | grep -q 'Type:.*DYN'; then echo "$binary is not position-independent" >&2; exit 1; fi
if readelf -d "$binary" | grep -q '(NEEDED)'; then echo "$binary asks for a library" >&2; exit 1; fi
if [ "$(id -u)" = 0 ]; then as_root() { exec "$@"; }; else as_root() { exec unshare --user --map-root-user "$@"; }; fi
root=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$root"' EXIT
server=
cp "$binary" "$root/resoftai"
as_root chroot "$root" /resoftai --json --data-dir /data serve --listen 127.0.0.1:0 --http >"$root/ready" 2>/dev/null &
server=$!
tries=0
until [ -s "$root/ready" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then echo "no answer from the empty chroot in 10 s" >&2; exit 1; fi
    sleep 0.1
done
(as_root chroot "$root" /resoftai --json --data-dir /data admin create-org --name Acme --slug acme) | grep -q '"slug":"acme"'
ls -l "$binary"
echo "$binary is one file and answers in an empty chroot"
