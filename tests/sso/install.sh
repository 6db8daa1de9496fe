#!/bin/sh
# Installs the identity providers of the tests: Debian's pysaml2 with xmlsec1, npm's oidc-provider.
set -eu
cd "$(dirname "$0")"
[ "$(id -u)" != 0 ] || sh ../install.sh python3-pysaml2 xmlsec1
exec 9>"${TMPDIR:-/tmp}/resoftai-tests-sso.lock"
flock 9
[ -d node_modules/oidc-provider ] || npm ci --ignore-scripts --no-audit --no-fund >&2
