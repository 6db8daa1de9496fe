#!/bin/sh
# Proves that a binary is one file: no interpreter, no library, and it answers in an empty chroot. Needs root for chroot.
set -eu
binary=$1
if readelf -l "$binary" | grep -q INTERP; then echo "$binary asks for an interpreter" >&2; exit 1; fi
if readelf -d "$binary" | grep -q '(NEEDED)'; then echo "$binary asks for a library" >&2; exit 1; fi
if [ "$(id -u)" != 0 ]; then echo "not root: the empty chroot was not tried" >&2; exit 1; fi
root=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$root"' EXIT
server=
cp "$binary" "$root/resoftai"
chroot "$root" /resoftai --json --data-dir /data serve --listen 127.0.0.1:0 --http >"$root/ready" 2>/dev/null &
server=$!
tries=0
until [ -s "$root/ready" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then echo "no answer from the empty chroot in 10 s" >&2; exit 1; fi
    sleep 0.1
done
chroot "$root" /resoftai --json --data-dir /data admin create-org --name Acme --slug acme | grep -q '"slug":"acme"'
ls -l "$binary"
echo "$binary is one file and answers in an empty chroot"
