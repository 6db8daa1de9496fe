# The life of the Debian package on one machine. Runs inside of it, as root, without network.
set -eu
step() { printf '\n== %s\n' "$*"; }
die() { printf 'FAILED: %s\n' "$*"; journalctl -u resoftai -n 40 --no-pager -o cat || true; exit 1; }

step "it is installed and answers"
dpkg -i /media/stick/*.deb || die "it was not installed"
systemctl is-active --quiet resoftai || die "it does not run"
systemctl is-enabled --quiet resoftai || die "it would not start with the machine"
[ "$(stat -c '%U %a' /var/lib/resoftai)" = "resoftai 700" ] || die "the data directory is open to others"
[ "$(stat -c '%U %G %a' /etc/resoftai/config.toml)" = "root resoftai 640" ] || die "the configuration is open to others"
resoftai --data-dir /var/lib/resoftai admin create-org --name Acme --slug acme || die "no organisation"

step "installing again restarts it and keeps what was changed"
sed -i 's/0.0.0.0:8443/127.0.0.1:9443/' /etc/resoftai/config.toml
old=$(systemctl show -p MainPID --value resoftai)
dpkg -i /media/stick/*.deb || die "not installed again"
[ "$(systemctl show -p MainPID --value resoftai)" != "$old" ] || die "the old one still runs"
[ -n "$(ss -Hltn 'sport = :9443')" ] || die "the configuration was overwritten"

step "wrong settings: it is not started, and says so"
echo 'nonsense = 1' >>/etc/resoftai/config.toml
systemctl stop resoftai
dpkg -i /media/stick/*.deb 2>&1 | grep "was not started" || die "it says nothing"
sed -i '/nonsense/d' /etc/resoftai/config.toml

step "removed, data and settings stay; purged, the data stays"
dpkg -r resoftai
[ -e /etc/resoftai/config.toml ] && [ -e /var/lib/resoftai/resoftai.db ] || die "something is gone"
[ ! -e /usr/bin/resoftai ] || die "it is still there"
dpkg -i /media/stick/*.deb
systemctl is-active --quiet resoftai || die "it does not come back"
dpkg -P resoftai
[ -e /var/lib/resoftai/resoftai.db ] || die "one word took the data"
[ ! -e /etc/resoftai/config.toml ] || die "the settings are still there"

step "purged after the second word, it is all gone"
dpkg -i /media/stick/*.deb
touch /var/lib/resoftai/delete-with-package
dpkg -P resoftai
[ ! -e /var/lib/resoftai ] || die "the data is still there"
step "done"
