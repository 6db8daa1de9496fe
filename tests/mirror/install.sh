#!/bin/sh
# Installs the reference implementation of TUF, python-tuf, in a place of its own.
set -eu
cd "$(dirname "$0")"
exec 9>"${TMPDIR:-/tmp}/resoftai-tests-mirror.lock"
flock 9
[ -e venv/installed ] && exit 0
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'tuf==7.0.1' 'securesystemslib[crypto]==1.6.0' >&2
touch venv/installed
