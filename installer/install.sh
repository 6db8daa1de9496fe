#!/bin/sh
# Installs ResoftAI from the folder this lies in; needs no network. See docs/operator/install.md.
#
#   ./install.sh [--dry-run] [--listen ADDRESS:PORT] [--answers FILE] [--key FILE]
#
# With --key, a public key of minisign's, only a bundle that this key signed is installed.
#
# Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this machine does not fit (each reason is printed).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$here/VERSION")
listen=
dry=
answers=
key=

usage() { echo "Usage: ./install.sh [--dry-run] [--listen ADDRESS:PORT] [--answers FILE] [--key FILE]" >&2; exit 2; }
say() { printf '%s\n' "$*"; }
fail() { printf 'Not installed: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=yes ;;
        --listen) [ $# -ge 2 ] || usage; listen=$2; shift ;;
        --answers) [ $# -ge 2 ] || usage; answers=$2; shift ;;
        --key) [ $# -ge 2 ] || usage; key=$2; shift ;;
        *) usage ;;
    esac
    shift
done

# Answers are lines of NAME=VALUE; the file is read, not run.
if [ -n "$answers" ]; then
    [ -r "$answers" ] || fail "the answers file $answers cannot be read."
    while IFS='=' read -r name value; do
        case $name in
            '' | '#'*) ;;
            LISTEN) [ -n "$listen" ] || listen=$value ;;
            *) echo "The answers file has a line that means nothing: $name. Known: LISTEN." >&2; exit 2 ;;
        esac
    done <"$answers"
fi
listen=${listen:-0.0.0.0:8443}
port=${listen##*:}
case $port in '' | *[!0-9]*) echo "$listen is not ADDRESS:PORT, such as 0.0.0.0:8443." >&2; exit 2 ;; esac

# --- whether this machine fits -------------------------------------------------------------------------------------------
wrong=0
unfit() { printf '  NO   %s\n' "$*"; wrong=1; }
fit() { printf '  yes  %s\n' "$*"; }
note() { printf '  note %s\n' "$*"; }
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

say "ResoftAI $version: looking at this machine"
if [ "$(id -u)" = 0 ]; then fit "run as root"; else unfit "run as root: use sudo"; fi
if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then fit "Linux on x86_64"; else unfit "this bundle is for Linux on x86_64, and this is $(uname -s) on $(uname -m)"; fi
kernel=$(uname -r)
if at_least "${kernel%%-*}" 4.18; then fit "kernel $kernel"; else unfit "the kernel is $kernel; 4.18 or later is needed"; fi
if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
    systemd=$(systemctl --version | head -n 1 | tr -dc '0-9 ' | awk '{print $1}')
    if [ "$systemd" -ge 239 ]; then fit "systemd $systemd"; else unfit "systemd is $systemd; 239 or later is needed"; fi
else
    unfit "systemd does not run here"
fi
room=$(df -Pk /var/lib | awk 'NR == 2 {print int($4 / 1024)}')
if [ "$room" -ge 1024 ]; then fit "$room MiB are free below /var/lib"; else unfit "$room MiB are free below /var/lib; 1024 are needed"; fi
memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
if [ "$memory" -ge 512 ]; then fit "$memory MiB of memory"; else unfit "$memory MiB of memory; 512 are needed"; fi
built=$(cat "$here/BUILT")
if [ "$(date +%s)" -ge "$built" ]; then fit "the clock says $(date -u +%Y-%m-%dT%H:%MZ)"; else unfit "the clock says $(date -u +%Y-%m-%d), which is before this version was made. Set it"; fi
entropy=$(cat /proc/sys/kernel/random/entropy_avail 2>/dev/null || echo 256)
if [ "$entropy" -ge 128 ]; then fit "random numbers are ready"; else unfit "the kernel has gathered $entropy bits for random numbers; 128 are needed. Wait, or add a source"; fi
if systemctl is-active --quiet resoftai 2>/dev/null; then
    note "ResoftAI runs here; its port is its own"
elif command -v ss >/dev/null && [ -n "$(ss -Hltn "sport = :$port" 2>/dev/null)" ]; then
    unfit "something listens on port $port. Choose another with --listen"
else
    fit "port $port is free"
fi
if command -v getenforce >/dev/null; then note "SELinux is $(getenforce); the files get their contexts by restorecon"; fi
if [ "$port" -lt 1024 ]; then note "port $port is below 1024: enable resoftai.socket, which opens it for the server"; fi
installed=
if [ -x /usr/bin/resoftai ]; then
    installed=$(/usr/bin/resoftai --version | awk '{print $2}')
    if [ "$installed" = "$version" ]; then
        note "version $version is installed; it is installed again"
    else
        unfit "version $installed is installed. Give it the bundle of this one: resoftai upgrade BUNDLE.tar.gz; docs/operator/upgrade.md"
    fi
fi
if ! (cd "$here" && sha256sum -c --quiet SHA256SUMS >/dev/null 2>&1); then
    unfit "the bundle is damaged: $(cd "$here" && sha256sum -c --quiet SHA256SUMS 2>&1 | head -n 1). Copy it again"
else
    fit "the bundle is whole"
fi
if [ -z "$key" ]; then
    note "nobody's signature was looked at; --key does, and docs/operator/packages.md says how to do it without this bundle"
elif said=$("$here/resoftai" verify "$here/SHA256SUMS" --signature "$here/RESOFTAI-BUNDLE.minisig" --key "$key" 2>&1); then
    fit "the bundle is signed with the key in $key"
else
    unfit "the bundle is not signed with the key in $key: ${said#error: }"
fi
[ "$wrong" = 0 ] || { say "Nothing was changed."; exit 3; }
if [ -n "$dry" ]; then
    say "Would install to /usr/bin, /usr/lib/systemd/system and /etc/resoftai, and start it on $listen. Nothing was changed."
    exit 0
fi

# --- install -------------------------------------------------------------------------------------------------------------
unit_dir=/usr/lib/systemd/system
[ -d "$unit_dir" ] || unit_dir=/lib/systemd/system
getent group resoftai >/dev/null || groupadd --system resoftai
getent passwd resoftai >/dev/null || useradd --system --gid resoftai --home-dir /var/lib/resoftai --no-create-home --shell "$(command -v nologin || echo /usr/sbin/nologin)" --comment ResoftAI resoftai
install -d -m 0750 -o root -g resoftai /etc/resoftai
install -d -m 0700 -o resoftai -g resoftai /var/lib/resoftai /var/backups/resoftai
# Beside its name first: what runs is replaced in one step.
install -m 0755 "$here/resoftai" /usr/bin/.resoftai.new
mv -f /usr/bin/.resoftai.new /usr/bin/resoftai
install -m 0755 "$here/uninstall.sh" /usr/bin/resoftai-uninstall
for unit in resoftai.service resoftai.socket resoftai-settle.service; do install -m 0644 "$here/systemd/$unit" "$unit_dir/$unit"; done
install -D -m 0644 "$here/systemd/resoftai.sysusers" /usr/lib/sysusers.d/resoftai.conf
install -D -m 0644 "$here/systemd/resoftai.tmpfiles" /usr/lib/tmpfiles.d/resoftai.conf
rm -rf /usr/share/doc/resoftai
cp -r "$here/docs" /usr/share/doc/resoftai
cp "$here/LICENSE" /usr/share/doc/resoftai/
if [ ! -e /etc/resoftai/config.toml ]; then
    sed "s/@LISTEN@/$listen/" "$here/config.toml" >/etc/resoftai/config.toml.new
    chown root:resoftai /etc/resoftai/config.toml.new
    chmod 0640 /etc/resoftai/config.toml.new
    mv /etc/resoftai/config.toml.new /etc/resoftai/config.toml
fi
checked=$(/usr/bin/resoftai --json config check --config /etc/resoftai/config.toml) || fail "/etc/resoftai/config.toml is wrong: correct what is said above, and install again."
# The configuration that is there counts, not what was asked for.
listen=$(printf '%s' "$checked" | sed 's/.*"server.listen":"\([^"]*\)".*/\1/')
if command -v restorecon >/dev/null; then restorecon -R /usr/bin/resoftai "$unit_dir/resoftai.service" /etc/resoftai /var/lib/resoftai || true; fi
systemctl daemon-reload
systemctl enable --quiet resoftai.service resoftai-settle.service
# Type=notify: this returns once the server answers, or says why it does not.
if ! systemctl restart resoftai; then
    journalctl -u resoftai -n 20 --no-pager -o cat >&2 || true
    fail "the server does not start; its last words are above."
fi

say ""
say "ResoftAI $version answers on https://$listen"
say "$(journalctl -u resoftai --no-pager -o cat | grep '^Certificate ' | tail -n 1)"
# Only while nobody has an account.
setup=$(/usr/bin/resoftai --data-dir /var/lib/resoftai --json admin setup-link 2>/dev/null | sed -n 's/.*"link":"\([^"]*\)".*/\1/p' || true)
if [ -n "$setup" ]; then
    case $listen in 0.0.0.0:* | '[::]':*) site=$(uname -n):${listen##*:} ;; *) site=$listen ;; esac
    say "Make the first administrator in a browser, once, with this link:"
    say "  https://$site$setup"
    say "or here:"
    say "  sudo resoftai admin create-user --username admin --email admin@example.org --role admin --password"
fi
