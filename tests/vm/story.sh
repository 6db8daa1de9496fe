# What a site's operator lives through on one machine, from the stick to the end. Runs inside of it, as root, without network.
set -eu
step() { printf '\n== %s\n' "$*"; }
die() { printf 'FAILED: %s\n' "$*"; journalctl -u resoftai -n 40 --no-pager -o cat || true; exit 1; }
resoftai() { command resoftai --data-dir /var/lib/resoftai "$@"; }
until_active() {
    tries=0
    until systemctl is-active --quiet resoftai; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "the service does not come back"
        sleep 0.1
    done
}
main_pid() { systemctl show -p MainPID --value resoftai; }
cp -r /media/stick/resoftai-* /root/bundle
cd /root/bundle

step "a damaged bundle is refused, and nothing is changed"
printf 'x' >>docs/cli.md
if ./install.sh; then die "a damaged bundle was installed"; else [ $? = 3 ] || die "with another exit code"; fi
[ ! -e /usr/bin/resoftai ] || die "something was installed"
rm -rf /root/bundle; cp -r /media/stick/resoftai-* /root/bundle; cd /root/bundle

step "a dry run and a wrong answer change nothing"
./install.sh --dry-run || die "this machine does not fit"
[ ! -e /usr/bin/resoftai ] || die "a dry run installed something"
printf 'LISTEN=127.0.0.1:8443\nNOISE=1\n' >/root/answers
if ./install.sh --answers /root/answers; then die "an unknown answer was taken"; fi
printf '# where it answers\nLISTEN=127.0.0.1:8443\n' >/root/answers

step "it is installed and answers"
began=$(date +%s)
./install.sh --answers /root/answers || die "it was not installed"
echo "ready after $(($(date +%s) - began)) s"
systemctl is-enabled --quiet resoftai || die "it would not start with the machine"
[ "$(stat -c '%U %a' /var/lib/resoftai)" = "resoftai 700" ] || die "the data directory is open to others"
[ "$(stat -c '%U %G %a' /etc/resoftai/config.toml)" = "root resoftai 640" ] || die "the configuration is open to others"
verdict=$(systemd-analyze security resoftai --no-pager | tail -n 1)
echo "$verdict"
echo "$verdict" | awk '{for (i = 1; i <= NF; i++) if ($i + 0 > 0) {exit !($i <= 1.3)}}' || die "the service may do too much"

step "an administrator, an organisation, a project"
resoftai admin setup-link | grep -q '/setup#' || die "a new site has no setup link"
journalctl -u resoftai --no-pager -o cat | grep -q '^Set up https://.*/setup#' || die "the setup link is not shown"
printf 'correct horse battery' | resoftai admin create-user --username ada --email ada@example.org --role admin --password-stdin
if resoftai admin setup-link; then die "the setup link outlives the first account"; fi
resoftai admin create-org --name Acme --slug acme
resoftai project create --name kept --org acme

step "a doctor finds nothing wrong, nothing strange can be dialled, and what helps others has no secret in it"
resoftai doctor --config /etc/resoftai/config.toml || die "the doctor finds something wrong"
resoftai egress prove --config /etc/resoftai/config.toml || die "something can be dialled"
resoftai support-bundle --yes --output /root/support.tar.gz || die "no support bundle"
[ "$(stat -c %a /root/support.tar.gz)" = 600 ] || die "the support bundle is open to others"
if tar -xzOf /root/support.tar.gz | grep -a "correct horse battery"; then die "a secret is in it"; fi
rm /root/support.tar.gz
systemctl stop resoftai
chmod 0755 /var/lib/resoftai
if resoftai doctor >/root/said; then die "an open data directory is well"; fi
grep -q "chmod" /root/said || die "the doctor does not say what mends it"
chmod 0700 /var/lib/resoftai
systemctl start resoftai

step "it comes back after kill -9, with everything"
old=$(main_pid)
kill -9 "$old"
tries=0
while [ "$(main_pid)" = "$old" ] || ! systemctl is-active --quiet resoftai; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || die "it does not come back"
    sleep 0.1
done
resoftai project list --org acme | grep -q kept || die "the project is gone"

step "a changed certificate is taken in without a restart"
old=$(main_pid)
fingerprint() { journalctl -u resoftai --no-pager -o cat | grep '^Certificate ' | tail -n 1; }
before=$(fingerprint)
# Without one, the next is minted.
rm -rf /var/lib/resoftai/tls
systemctl reload resoftai
after=$(resoftai --json reload)
[ "$(main_pid)" = "$old" ] || die "it was restarted"
case $after in *"${before#Certificate }"*) die "the certificate is the old one" ;; esac

step "a process that hangs is restarted by the watchdog"
mkdir -p /etc/systemd/system/resoftai.service.d
printf '[Service]\nWatchdogSec=5\n' >/etc/systemd/system/resoftai.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart resoftai
old=$(main_pid)
kill -STOP "$old"
tries=0
while [ "$(main_pid)" = "$old" ] || ! systemctl is-active --quiet resoftai; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || die "the watchdog did nothing"
    sleep 0.1
done
rm -r /etc/systemd/system/resoftai.service.d
systemctl daemon-reload

step "a setting comes as a credential of systemd's"
mkdir -p /etc/systemd/system/resoftai.service.d
echo 127.0.0.1:9444 >/root/listen
printf '[Service]\nLoadCredential=RESOFTAI_SERVER_LISTEN:/root/listen\n' >/etc/systemd/system/resoftai.service.d/credential.conf
systemctl daemon-reload
systemctl restart resoftai || die "it does not start with a credential"
[ -n "$(ss -Hltn 'sport = :9444')" ] || die "the credential does not count"
rm -r /etc/systemd/system/resoftai.service.d
systemctl daemon-reload
systemctl restart resoftai

step "a port below 1024 is opened by systemd and handed over"
systemctl enable --now resoftai.socket 2>/dev/null || true
systemctl stop resoftai
systemctl start resoftai.socket resoftai
[ -n "$(ss -Hltn 'sport = :443')" ] || die "nothing listens on port 443"
systemctl disable --now --quiet resoftai.socket
systemctl restart resoftai

step "a backup is taken, proven, and put back on an empty machine"
printf 'correct horse battery staple' | resoftai backup init /var/backups/resoftai/main --passphrase-stdin
resoftai backup create || die "no backup"
resoftai-uninstall
[ -e /var/lib/resoftai/resoftai.db ] || die "uninstalling took the data"
mv /var/lib/resoftai /root/lost
./install.sh --answers /root/answers
systemctl stop resoftai
printf 'correct horse battery staple' | resoftai restore /var/backups/resoftai/main --passphrase-stdin --replace || die "not restored"
systemctl start resoftai
resoftai project list --org acme | grep -q kept || die "the project did not come back"
resoftai audit list --resource restore | grep -q Restored || die "the trail does not know"

step "a version that does not start is taken back"
this=$(command resoftai --version | cut -d ' ' -f 2)
upgrade() { resoftai upgrade "/media/stick/$1.tar.gz" --key /media/stick/key.pub --yes; }
if upgrade fails; then die "a version that does not start was taken"; fi
systemctl is-active --quiet resoftai || die "the old one does not run"
[ "$(command resoftai --version)" = "resoftai $this" ] || die "the old program is not back"
resoftai project list --org acme | grep -q kept || die "the project is gone"
resoftai audit list --resource site | grep -q "Went back" || die "the trail does not know"

step "the power goes while a new version starts: the machine comes up with the old one"
upgrade hangs >/dev/null 2>&1 &
upgrading=$!
tries=0
until grep -q trying /var/lib/resoftai.upgrade/unfinished.json 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || die "it does not come to the new version"
    sleep 0.1
done
pkill -KILL -P "$upgrading" || true
kill -KILL "$upgrading" || true
pkill -KILL -f "resoftai upgrade" || true
systemctl kill --signal=KILL resoftai || true
systemctl stop resoftai
grep -q trying /var/lib/resoftai.upgrade/unfinished.json || die "it came to its end"
# As when the machine starts; what is in place then is the new version's.
systemctl start resoftai-settle.service || { journalctl -u resoftai-settle --no-pager -o cat; die "it was not settled"; }
[ "$(command resoftai --version)" = "resoftai $this" ] || die "the old program is not back"
systemctl start resoftai || die "it does not start"
resoftai project list --org acme | grep -q kept || die "the project is gone"
rm -rf /var/lib/resoftai.failed-*

step "an upgrade goes by what the service is started with"
echo 'DATABASE_URL=postgres://nobody@127.0.0.1:9/nothing' >/etc/resoftai/environment
if resoftai upgrade /media/stick/next.tar.gz --key /media/stick/key.pub --check >/root/said; then die "no copy of PostgreSQL is missed"; fi
grep -q "FAIL *database *the database is on PostgreSQL" /root/said || { cat /root/said; die "the service's variables do not count"; }
rm /etc/resoftai/environment

step "a newer version is put in place, and there is a way back"
resoftai upgrade /media/stick/next.tar.gz --key /media/stick/key.pub --check || die "it cannot be upgraded to"
upgrade next || die "not upgraded"
away=$(systemctl show -p InactiveEnterTimestampMonotonic -p ActiveEnterTimestampMonotonic resoftai |
    awk -F= '{at[$1] = $2} END {print int((at["ActiveEnterTimestampMonotonic"] - at["InactiveEnterTimestampMonotonic"]) / 1000)}')
echo "away for $away ms"
[ "$away" -lt 5000 ] || die "it was away for too long"
[ "$(command resoftai --version)" != "resoftai $this" ] || die "it is the old one"
resoftai project list --org acme | grep -q kept || die "the project is gone"
resoftai audit list --resource site | grep -q "Upgraded ResoftAI from $this" || die "the trail does not know"
resoftai upgrade return --yes || die "there is no way back"
systemctl is-active --quiet resoftai || die "it does not run"
[ "$(command resoftai --version)" = "resoftai $this" ] || die "the old program is not back"
resoftai project list --org acme | grep -q kept || die "the project is gone"
resoftai upgrade forget --yes

step "installing again changes nothing, and data goes only when that is said twice"
./install.sh || die "it cannot be installed twice"
resoftai project list --org acme | grep -q kept || die "installing again took the project"
if resoftai-uninstall --delete-data; then die "data was deleted after one word"; fi
[ -e /usr/bin/resoftai ] || die "it was removed all the same"
resoftai-uninstall --delete-data --yes-delete-data
[ ! -e /var/lib/resoftai ] && [ ! -e /var/lib/resoftai.upgrade ] || die "the data is still there"
step "done"
