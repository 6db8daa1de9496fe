#!/bin/sh
# Boots a root file system with its systemd as process 1 and no network, on an overlay that is thrown away, and runs a script in it as
# root: tests/vm/boot.sh ROOT SCRIPT FOLDER. FOLDER is /media/stick inside, as a stick that was plugged in. The script's exit code is
# this one's; what it prints, too.
set -eu
root=$1 script=$2 stick=$3
work=$(mktemp -d /dev/shm/resoftai-vm.XXXXXX)
clean() {
    umount -l "$work/root" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
mkdir "$work/up" "$work/wk" "$work/root" "$work/share"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/up,workdir=$work/wk" "$work/root"
cp "$script" "$work/share/script"
# A container's devices come out readable for root alone here, which no machine has.
for node in null zero full random urandom tty; do echo "z /dev/$node 0666 root root -"; done >"$work/root/etc/tmpfiles.d/zz-devices.conf"
cat >"$work/root/etc/systemd/system/story.service" <<'U'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/sh -c 'sh /run/share/script >/run/share/out 2>&1; echo $? >/run/share/code; systemctl --no-block poweroff'
U
mkdir -p "$work/root/etc/systemd/system/graphical.target.wants"
ln -sf ../story.service "$work/root/etc/systemd/system/graphical.target.wants/"
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_LOCK=0
timeout -k 5 "${LIMIT:-400}" script -qec "systemd-nspawn -q -D $work/root -M resoftai$$ -b --register=no --keep-unit --private-network \
    --bind=$work/share:/run/share --bind-ro=$(realpath "$stick"):/media/stick" /dev/null </dev/null >"$work/console" 2>&1 || true
cat "$work/share/out" 2>/dev/null || true
if [ ! -s "$work/share/code" ]; then
    tail -n 40 "$work/console"
    echo "The machine did not come to the end of its story." >&2
    exit 99
fi
exit "$(cat "$work/share/code")"
