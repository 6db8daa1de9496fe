#!/bin/sh
# Keeps a data folder of a release, for every later version to open: tests/it/upgrade/keep.sh BINARY, once for each release.
set -eu
binary=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
site=$work/site
resoftai() { "$binary" --data-dir "$site" "$@"; }
env -i "$binary" --data-dir "$site" serve --http --listen 127.0.0.1:0 >/dev/null &
server=$!
until resoftai org list >/dev/null 2>&1; do sleep 0.1; done
resoftai admin create-org --name Acme --slug acme --tier starter
printf 'correct horse battery' | resoftai admin create-user --username ada --email ada@example.org --role admin --password-stdin
printf 'correct horse battery' | resoftai admin create-user --username dev --email dev@example.org --role developer --org acme --password-stdin
project=$(resoftai --json project create --name kept --org acme | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
printf 'kept since then\n' >"$work/notes.md"
resoftai file put "$project:notes.md" "$work/notes.md"
resoftai plugin install "$here/../../../plugin-sdk/examples/security-scanner"
kill "$server"
wait "$server"
rm -rf "$site/logs" "$site/run" "$site/scratch"
mkdir -p "$here/kept"
tar -C "$site" --owner=0 --group=0 --numeric-owner --format=ustar -cf - . | zstd -q -19 -f -o "$here/kept/$("$binary" --version | cut -d ' ' -f 2).tar.zst"
