#!/bin/sh
# Removes ResoftAI. What people made stays in /var/lib/resoftai and /etc/resoftai, unless it is said twice that it should go:
#
#   resoftai-uninstall [--delete-data --yes-delete-data]
set -eu
delete=
sure=
for argument in "$@"; do
    case $argument in
        --delete-data) delete=yes ;;
        --yes-delete-data) sure=yes ;;
        *) echo "Usage: resoftai-uninstall [--delete-data --yes-delete-data]" >&2; exit 2 ;;
    esac
done
[ "$(id -u)" = 0 ] || { echo "Run this as root." >&2; exit 1; }
if [ -n "$delete$sure" ] && [ "$delete$sure" != yesyes ]; then
    echo "Nothing was removed. To delete all data for good, say both --delete-data and --yes-delete-data." >&2
    exit 2
fi
systemctl disable --now --quiet resoftai.service resoftai.socket resoftai-settle.service 2>/dev/null || true
for folder in /usr/lib/systemd/system /lib/systemd/system; do
    rm -f "$folder/resoftai.service" "$folder/resoftai.socket" "$folder/resoftai-settle.service"
done
rm -f /usr/lib/sysusers.d/resoftai.conf /usr/lib/tmpfiles.d/resoftai.conf /usr/bin/resoftai
rm -rf /usr/share/doc/resoftai
systemctl daemon-reload
if [ -n "$delete" ]; then
    rm -rf /var/lib/resoftai /var/lib/resoftai.upgrade /etc/resoftai
    userdel resoftai 2>/dev/null || true
    echo "ResoftAI and its data are gone. Backups in /var/backups/resoftai were not touched."
else
    echo "ResoftAI is removed. Its data is in /var/lib/resoftai, its configuration in /etc/resoftai."
fi
rm -f /usr/bin/resoftai-uninstall
