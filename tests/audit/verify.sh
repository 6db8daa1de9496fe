#!/bin/sh
# Verifies a copy of an audit log by another implementation than ours: tests/audit/verify.sh ARGUMENT.. (see verify.go).
# Needs Debian's `golang-go` and `golang-golang-x-mod-dev` (installed with apt-get when missing and root).
set -eu

if ! command -v go >/dev/null || [ ! -d /usr/share/gocode/src/golang.org/x/mod/sumdb ]; then
    sh "$(dirname "$0")/../install.sh" golang-go golang-golang-x-mod-dev
fi

GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="${GOCACHE:-${TMPDIR:-/tmp}/resoftai-go}" GOFLAGS= \
    exec go run "$(dirname "$0")/verify.go" "$@"
