#!/bin/sh
# Runs a real syslog server for tests: tests/audit/syslog.sh FOLDER PORT CA CERTIFICATE. It takes RFC 5425 on a loopback port and
# writes what it understood as JSON lines to FOLDER/out. CERTIFICATE holds the key too. Needs Debian's `rsyslog` and
# `rsyslog-gnutls` (installed with apt-get when missing and root).
set -eu

dir=$1 port=$2 ca=$3 certificate=$4
PATH=$PATH:/usr/sbin:/sbin
module() { find /usr/lib -name lmnsd_gtls.so 2>/dev/null | grep -q .; }
if ! command -v rsyslogd >/dev/null || ! module; then
    sh "$(dirname "$0")/../install.sh" rsyslog rsyslog-gnutls
fi

cp "$ca" "$dir/ca.pem"
cp "$certificate" "$dir/server.pem"
cat >"$dir/rsyslog.conf" <<END
global(workDirectory="$dir" maxMessageSize="64k" DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="$dir/ca.pem"
    DefaultNetstreamDriverCertFile="$dir/server.pem" DefaultNetstreamDriverKeyFile="$dir/server.pem")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="$port" address="127.0.0.1")
template(name="understood" type="list") { property(name="jsonmesg") constant(value="\n") }
if \$programname == "resoftai" then action(type="omfile" file="$dir/out" template="understood")
END

if [ "$(id -u)" = 0 ]; then
    chown -R nobody "$dir"
    exec setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups rsyslogd -n -f "$dir/rsyslog.conf" -i "$dir/pid"
fi
exec rsyslogd -n -f "$dir/rsyslog.conf" -i "$dir/pid"
