#!/bin/sh
# Drives the pages in a real browser: tests/ui/run.sh [PLAYWRIGHT ARGUMENT..]
# Needs the debug build, Node 20.19 or later and Debian's chromium (installed with apt-get when missing and root).
set -eu
cd "$(dirname "$0")"
packages=node_modules/.installed

if [ -z "${CHROMIUM:-}" ] && [ ! -x /usr/bin/chromium ]; then
    sh ../install.sh chromium fonts-dejavu-core
fi
lock=$(sha256sum package-lock.json)
if [ "$(cat "$packages" 2>/dev/null || true)" != "$lock" ]; then
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
    echo "$lock" > "$packages"
fi
npx playwright test "$@"
