#!/bin/sh
# Builds a plugin in JavaScript: build.sh [FOLDER] makes FOLDER/plugin.wasm of FOLDER/main.js and what it imports, and the
# component of its tests. Without a folder, the one that this one lies in.
#
# Needs node 20 or later and npm; what it is built with is installed beside this script, in the versions of
# package-lock.json.
set -eu

[ $# -le 1 ] || { echo "usage: $0 [FOLDER]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
installed=$here/node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ "$here/package-lock.json" -nt "$installed" ]; then
    npm ci --prefix "$here" --loglevel=error --no-audit --no-fund --ignore-scripts >&2
fi
node "$here/build.mjs" "${1:-$here/..}"
