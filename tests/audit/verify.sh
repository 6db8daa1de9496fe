#!/bin/sh
# Verifies a copy of an audit log by another implementation than ours: tests/audit/verify.sh ARGUMENT.. (see verify.go).
# Needs Debian's `golang-go` and `golang-golang-x-mod-dev` (installed with apt-get when missing and root).
set -eu

if ! command -v go >/dev/null || [ ! -d /usr/share/gocode/src/golang.org/x/mod/sumdb ]; then
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        golang-go golang-golang-x-mod-dev; } >&2
fi

GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="${GOCACHE:-${TMPDIR:-/tmp}/resoftai-go}" GOFLAGS= \
    exec go run "$(dirname "$0")/verify.go" "$@"
