#!/usr/bin/env bash
# Boots Debian's own kernel in an emulated machine (no /dev/kvm needed) and runs one program in it as root: the one
# tier where IPVS, landlock and seccomp are together.
# Usage: qemu.sh SECONDS OUTDIR PROGRAM [ARGUMENT...]       (first: prepare.sh qemu)
# QEMU_KERNEL=qemu-newer boots that of the backports            (first: prepare.sh qemu-newer)
#
# The contract is that of uml.sh: the host's tree read-only with a layer of memory above it, OUTDIR writable at
# /run/out; stdout, stderr, console and rc are left there. Exit status: that of PROGRAM; 124 time is up; 125 it died.
set -euo pipefail

seconds=$1 out=$(readlink -f "$2")
shift 2
kernel=${QEMU_KERNEL:-qemu}
cache=${LAB_CACHE:-/var/cache/keepalived-lab}/$kernel
memory=${QEMU_MEMORY:-1024M}

[ -e "$cache/initrd" ] || { echo "qemu: no kernel in $cache: run tests/lab/prepare.sh $kernel" >&2; exit 125; }

rm -f "$out/rc"
: >"$out/stdout"
: >"$out/stderr"
{
  echo 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin LAB_OUT=/run/out LAB_KERNEL=qemu'
  printf '%q ' "$@"
  echo '>>/run/out/stdout 2>>/run/out/stderr </dev/null'
  echo 'echo $? >/run/out/rc'
  echo 'sync; poweroff -f'
} >"$out/last"

share() { printf '%s' "-fsdev local,id=$1,path=$2,security_model=none$3 -device virtio-9p-pci,fsdev=$1,mount_tag=$1"; }

# cx16=off: the emulator's threads spoil flags after cmpxchg16b, and the guest's allocator dies of it.
rc=0
# shellcheck disable=SC2046  # options are words on purpose; no path here has blanks
timeout --kill-after=5 "$seconds" qemu-system-x86_64 -machine q35,pit=on,graphics=off,usb=off \
  -accel tcg,thread=multi -cpu max,cx16=off -smp "$(nproc)" -m "$memory" -nodefaults -no-user-config \
  -display none -no-reboot -device virtio-rng-pci -serial "file:$out/console" \
  -kernel "$cache/kernel" -initrd "$cache/initrd" \
  $(share out "$out" "") $(share root / ",readonly=on,multidevs=remap") $(share modules "$cache/lib" ",readonly=on") \
  -append "console=ttyS0 quiet rdinit=/init panic=-1 mitigations=off tsc=reliable no_timer_check random.trust_cpu=on" \
  </dev/null >&2 || rc=$?
[ "$rc" != 124 ] || { echo "qemu: $seconds s are over" >&2; exit 124; }
[ -s "$out/rc" ] || { echo "qemu: the guest died; see $out/console" >&2; exit 125; }
exit "$(cat "$out/rc")"
