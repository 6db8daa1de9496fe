#!/bin/sh
# Installs the Debian packages that a test needs, when missing and root: tests/install.sh PACKAGE..
# One at a time, for tests run beside each other.
set -eu
exec 9>"${TMPDIR:-/tmp}/resoftai-tests-install.lock"
flock 9
if ! dpkg -s "$@" >/dev/null 2>&1; then
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
fi
