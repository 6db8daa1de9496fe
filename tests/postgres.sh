#!/bin/sh
# Runs a command beside a throw-away PostgreSQL: tests/postgres.sh cargo test
# The server listens on a free loopback port, with fsync on, as an unprivileged user; RESOFTAI_TEST_POSTGRES_URL names it. It
# also speaks TLS, with a certificate of the authority in the file RESOFTAI_TEST_POSTGRES_CA. Everything that was written is
# deleted at the end. Needs Debian's `postgresql` and `openssl` (installed with apt-get when missing and root).
set -eu

[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARGUMENT..]" >&2; exit 2; }

bin_folder() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }

bin=$(bin_folder)
if [ -z "$bin" ] || ! command -v openssl >/dev/null; then
    sh "$(dirname "$0")/install.sh" postgresql openssl
    bin=$(bin_folder)
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/postgres.XXXXXX")
if [ "$(id -u)" = 0 ]; then
    # PostgreSQL refuses to run as root.
    chown nobody "$dir"
    as_owner() { setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups env HOME="$dir" "$@"; }
else
    as_owner() { "$@"; }
fi

stop() {
    status=$?
    trap - EXIT INT TERM
    [ ! -f "$dir/data/postmaster.pid" ] || as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null || true
    rm -rf "$dir"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$dir"
as_owner "$bin/initdb" -D "$dir/data" -U resoftai --auth=trust --locale=C --encoding=UTF8 >"$dir/initdb.log" 2>&1 \
    || { cat "$dir/initdb.log" >&2; exit 1; }

# A server's certificate may not be an authority's: make one of each.
cat >tls.cnf <<'END'
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
END
certify() { as_owner openssl "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }; }
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
# shellcheck disable=SC2086 # several words
certify req -x509 -config tls.cnf -extensions authority $key -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
# shellcheck disable=SC2086
certify req -new -config tls.cnf $key -subj /CN=server -keyout server.key -out server.csr
certify x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile tls.cnf -extensions server \
    -out server.pem

# A port is free until somebody takes it: try a few.
started=
for _ in 1 2 3 4 5; do
    port=$(shuf -i 20000-31999 -n 1)
    if as_owner "$bin/pg_ctl" -D "$dir/data" -w -t 60 -l "$dir/server.log" \
        -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 -c fsync=on \
            -c ssl=on -c ssl_cert_file=$dir/server.pem -c ssl_key_file=$dir/server.key" \
        start >/dev/null; then
        started=1
        break
    fi
done
[ -n "$started" ] || { cat "$dir/server.log" >&2; exit 1; }
cd "$OLDPWD"

RESOFTAI_TEST_POSTGRES_URL="postgres://resoftai@127.0.0.1:$port/postgres"
RESOFTAI_TEST_POSTGRES_CA="$dir/ca.pem"
export RESOFTAI_TEST_POSTGRES_URL RESOFTAI_TEST_POSTGRES_CA
"$@"
