#!/usr/bin/env bash
# A machine with a service manager of its own, in namespaces: the host's tree with a layer of memory above it, systemd
# as process 1. Nothing of the host's services runs in it, nothing of what it writes stays.
# Usage: machine.sh GROUP LAYER      (in the network namespace of a host of the laboratory)
#
# GROUP is an empty control group of version 2 that the machine gets as its tree; LAYER is laid over the host's files.
set -euo pipefail

if [ "${3:-}" != inside ]; then
  echo $$ >"$1/cgroup.procs"
  exec unshare --cgroup --mount --uts --ipc --pid --fork --kill-child --propagation private "$0" "$1" "$2" inside
fi

layer=$2
work=/run/lab/machine
mkdir -p "$work"
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
root=$work/root

mount -t proc proc "$root/proc"
# Settings of the network are the machine's own, all others the host's.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
  : >"$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"

# Only what a service needs: no unit is wanted by anything but a journal.
rm -rf "$root"/{etc,usr/lib}/systemd/system/{sysinit,local-fs,multi-user,sockets,timers,basic,network-online,graphical}.target.wants
rm -f "$root/etc/fstab"
wanted=$root/etc/systemd/system/sockets.target.wants
mkdir -p "$wanted"
ln -s /lib/systemd/system/systemd-journald{,-dev-log}.socket "$wanted/"
# Without a number of its own it would be a first boot, which enables every service there is.
echo 6b6565706c6976656420696e2061206c >"$root/etc/machine-id"
# Debian's own genhash is a link to its keepalived.
cp -a --remove-destination "$layer/." "$root/"

exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=laboratory \
  chroot "$root" /lib/systemd/systemd --unit=basic.target --show-status=no --log-target=console
