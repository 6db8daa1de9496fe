#!/bin/sh
# Runs a real mail server for tests: tests/mail/server.sh ARGUMENT.. (see server.py). Needs Debian's `python3-aiosmtpd`
# (installed with apt-get when missing and root), or another python3 that has aiosmtpd.
set -eu

python() {
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import aiosmtpd' 2>/dev/null; then echo "$python"; return; fi
    done
}

found=$(python)
if [ -z "$found" ]; then
    sh "$(dirname "$0")/../install.sh" python3-aiosmtpd
    found=$(python)
fi
exec "$found" "$(dirname "$0")/server.py" "$@"
