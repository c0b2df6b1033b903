#!/usr/bin/env bash
# Boots the user-mode kernel and runs one program in it as root.
# Usage: uml.sh SECONDS OUTDIR PROGRAM [ARGUMENT...]
#
# The guest sees the host's tree read-only with a throw-away layer of memory above it; the one directory of the
# host that it can write is OUTDIR (mounted at /run/out), where stdout, stderr, console and rc (the exit status)
# are left. Exit status: that of PROGRAM; 124 when the time is up; 125 when the guest died.
set -euo pipefail

seconds=$1 out=$(readlink -f "$2")
shift 2
kernel=${LAB_CACHE:-/var/cache/keepalived-lab}/uml
memory=${UML_MEMORY:-512M}

[ -x "$kernel/linux" ] || { echo "uml: no kernel in $kernel: run tests/lab/prepare.sh" >&2; exit 125; }

work=$(mktemp -d /var/tmp/keepalived-uml.XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
rm -f "$out/rc"
: >"$out/stdout"
: >"$out/stderr"

# Last stage: inside the layered tree, as pid 1.
{
  echo 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin LAB_OUT=/run/out LAB_KERNEL=uml'
  # A module here, and nothing loads it on demand before its settings are written.
  echo 'modprobe -q ipv6'
  printf '%q ' "$@"
  echo '>>/run/out/stdout 2>>/run/out/stderr </dev/null'
  echo 'echo $? >/run/out/rc'
  echo 'poweroff -f'
} >"$work/last"

# First stage: pid 1 on the read-only host tree. Whatever it writes is guest memory.
cat >"$work/first" <<STAGE
#!/bin/sh
stop() { echo "uml: \$1 failed"; poweroff -f; }
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir /run/layer /run/root
release=\$(uname -r)
overlay=$kernel/modules/\$release/kernel/fs/overlayfs/overlay.ko
[ ! -e \$overlay ] || insmod \$overlay
mkdir /run/layer/upper /run/layer/work
mount -t overlay overlay -o lowerdir=/,upperdir=/run/layer/upper,workdir=/run/layer/work /run/root || stop overlay
cd /run/root || stop cd
mkdir -p proc sys dev run tmp "lib/modules/\$release"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs dev dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/netns run/lock run/out
mount -t hostfs none run/out -o $out || stop hostfs
mount --bind "$kernel/modules/\$release" "lib/modules/\$release"
mount -t cgroup2 cgroup2 sys/fs/cgroup 2>/dev/null
ip link set lo up
# Kernel threads share the root of pid 1, so only a chroot of pid 1 itself lets modules load on demand.
exec chroot . /bin/bash "$work/last"
STAGE
chmod 755 "$work/first"

# One processor per guest: it and the processes it traces answer each other in turn, and across processors
# each turn costs several times more. One that no other guest holds, if there is such a one, of those that may be used:
# its lock lasts as long as the guest's processes.
processors=()
while read -r first last; do
  mapfile -t -O "${#processors[@]}" processors < <(seq "$first" "${last:-$first}")
done < <(sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status | tr ',-' '\n ')
processor=
for free in "${processors[@]}"; do
  exec 9>"/var/tmp/keepalived-uml.processor-$free"
  if flock --nonblock 9; then processor=$free; break; fi
  exec 9>&-
done
processor=${processor:-${processors[RANDOM % ${#processors[@]}]}}
rc=0
timeout --kill-after=5 "$seconds" taskset -c "$processor" "$kernel/linux" root=/dev/root rootfstype=hostfs \
  rootflags=/ ro mem="$memory" quiet con=null con0=fd:0,fd:1 uml_dir="$work" noreboot init="$work/first" \
  </dev/null >"$out/console" 2>&1 || rc=$?
[ "$rc" != 124 ] || { echo "uml: $seconds s are over" >&2; exit 124; }
[ -s "$out/rc" ] || { echo "uml: the guest died; see $out/console" >&2; exit 125; }
exit "$(cat "$out/rc")"
