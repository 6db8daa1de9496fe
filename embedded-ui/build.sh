#!/bin/sh
# Builds the web pages into target/parts/ui, where the server's build takes them from: build.sh
#
# Needs Node 20.19 or later with npm. Nothing is done while the inputs are unchanged.
set -eu
cd "$(dirname "$0")"
out=../target/parts/ui
stamp=../target/parts/ui.stamp
packages=node_modules/.installed

wanted=$(find src public build index.html package-lock.json vite.config.ts svelte.config.js tsconfig.json build.sh -type f \
    | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1)
lock=$(sha256sum package-lock.json)
if [ "$(cat "$packages" 2>/dev/null || true)" != "$lock" ]; then
    npm ci --no-audit --no-fund
    echo "$lock" > "$packages"
fi
if [ -s "$out/index.html" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    echo "pages: up to date"
    exit 0
fi
npm run --silent build
echo "$wanted" > "$stamp"
