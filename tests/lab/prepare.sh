#!/usr/bin/env bash
# Installs what the laboratory needs and is missing: Debian packages, the user-mode kernel, cargo-nextest.
# Usage: prepare.sh [packages] [uml] [nextest] [qemu] [qemu-newer]
# (no word: the first three; qemu is for `make test`, qemu-newer for `make nightly`)
# Needs root on Debian 12 (13 best effort) only when something is missing. No service is started:
# a policy-rc.d that refuses all starts stands in place during the installation.
set -euo pipefail

CACHE=${LAB_CACHE:-/var/cache/keepalived-lab}
NEXTEST_VERSION=0.9.143

say() { printf 'prepare: %s\n' "$*" >&2; }

# Usage: persistently COMMAND...: for what goes over the network, which may fail for a moment.
persistently() {
  local pause
  for pause in 5 20 60; do
    "$@" && return 0
    say "failed, once more in $pause s: $*"
    sleep "$pause"
  done
  "$@"
}

# Usage: apt SECONDS [OPTIONS AND COMMAND...]
apt() {
  local limit=$1
  shift
  timeout "$limit" apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# program=package, or /file=package
NEEDED="
cc=gcc
make=make
/usr/include/stdio.h=libc6-dev
keepalived=keepalived
ipvsadm=ipvsadm
tcpdump=tcpdump
tshark=tshark
ip=iproute2
nft=nftables
ps=procps
strace=strace
killall=psmisc
busybox=busybox-static
nginx=nginx-light
openssl=openssl
smtpd=opensmtpd
dnsmasq=dnsmasq-base
curl=curl
mandoc=mandoc
insmod=kmod
unshare=util-linux
ping=iputils-ping
systemd-analyze=systemd
python3=python3
/usr/lib/frr/vrrpd=frr
iptables-legacy=iptables
/etc/ssl/certs/ca-certificates.crt=ca-certificates
"

missing_packages() {
  local entry what package
  for entry in $NEEDED; do
    what=${entry%%=*} package=${entry#*=}
    case $what in
      /*) [ -e "$what" ] || echo "$package" ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null 2>&1 || echo "$package" ;;
    esac
  done
}

as_root_or_fail() {
  [ "$(id -u)" = 0 ] && return 0
  say "missing: $*. Run this once as root."
  return 1
}

packages() {
  local list made=
  list=$(missing_packages | sort -u | tr '\n' ' ')
  [ -n "${list// /}" ] || return 0
  as_root_or_fail "$list"
  say "installing $list"
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    made=yes
  fi
  local rc=0 log
  log=$(mktemp)
  install_with_apt "$list" >"$log" 2>&1 || { rc=$?; cat "$log" >&2; }
  rm -f "$log"
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
  keep_off_at_boot "$list"
  return $rc
}

install_with_apt() {
  export DEBIAN_FRONTEND=noninteractive
  persistently update_and_install "$1"
}

# Both again when one fails: an old list names packages that the mirror has no more.
update_and_install() {
  apt 300 update || true
  # shellcheck disable=SC2086  # the list is words on purpose
  apt 900 -y --no-install-recommends install $1
}

# What was installed for tests alone must not start with the machine one day.
keep_off_at_boot() {
  local unit
  command -v deb-systemd-helper >/dev/null 2>&1 || return 0
  for unit in nginx keepalived opensmtpd frr; do
    case " $1 " in *" $unit"*) deb-systemd-helper disable "$unit.service" >/dev/null 2>&1 || true ;; esac
  done
}

# The user-mode kernel is only unpacked, never installed.
uml() {
  [ -x "$CACHE/uml/linux" ] && return 0
  as_root_or_fail "the user-mode kernel in $CACHE/uml"
  say "fetching the user-mode kernel"
  local work
  install -d -m 755 "$CACHE" "$CACHE/uml"
  work=$(mktemp -d "$CACHE/unpack.XXXXXX")
  (
    cd "$work"
    persistently with_lists download user-mode-linux
    dpkg -x user-mode-linux_*.deb tree
  )
  rm -rf "$CACHE/uml/modules"
  mv "$work/tree/usr/lib/uml/modules" "$CACHE/uml/modules"
  cp "$work/tree/usr/bin/linux.uml" "$CACHE/uml/linux.new"
  mv "$CACHE/uml/linux.new" "$CACHE/uml/linux"
  rm -rf "$work"
}

# Usage: download PACKAGE [OPTIONS OF APT...]: its file comes to the working directory.
download() {
  apt 300 "${@:2}" -o APT::Sandbox::User=root download "$1"
}

# Usage: download_newest PACKAGE [OPTIONS OF APT...]: the one that PACKAGE stands for, whose name each update changes.
download_newest() {
  local real
  real=$(apt-cache "${@:2}" depends "$1" | awk '/Depends:/ && !seen++ {print $2}') && [ -n "$real" ] &&
    download "$real" "${@:2}"
}

# Usage: with_lists COMMAND ARGUMENT [OPTIONS OF APT...]: the lists of packages are fetched where it fails without them.
# They may be missing, or so old that they name what the mirror has no more.
with_lists() {
  "$@" || { apt 300 "${@:3}" update && "$@"; }
}

# Debian's own kernel and a first file system for it, for the emulated machine.
qemu() {
  emulated_kernel qemu
}

# The kernel of the backports (6.12 on Debian 12): the first that has the scheduler `twos`. Its suite stands in lists
# of its own; those of the system stay as they are.
qemu_newer() {
  local lists=$CACHE/backports mirror
  [ ! -e "$CACHE/qemu-newer/initrd" ] || return 0
  mirror=$(apt-cache policy | awk '$2 ~ /^https?:/ && $2 !~ /security/ && $3 ~ /\/main$/ && !seen++ {print $2}')
  install -d -m 755 "$lists/lists/partial" "$lists/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" \
    >"$lists/sources.list"
  emulated_kernel qemu-newer -o "Dir::Etc::sourcelist=$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::lists=$lists/lists" -o "Dir::Cache=$lists/cache"
  rm -rf "$lists"
}

# Usage: emulated_kernel DIRECTORY [OPTIONS OF APT...]
emulated_kernel() {
  local to=$CACHE/$1 work
  shift
  [ ! -e "$to/initrd" ] || return 0
  NEEDED="qemu-system-x86_64=qemu-system-x86 cpio=cpio xz=xz-utils busybox=busybox-static depmod=kmod"
  packages
  as_root_or_fail "Debian's kernel in $to"
  say "fetching Debian's kernel"
  install -d -m 755 "$CACHE" "$to/lib"
  work=$(mktemp -d "$CACHE/unpack.XXXXXX")
  (
    cd "$work"
    persistently with_lists download_newest linux-image-amd64 "$@"
    dpkg -x linux-image-*.deb tree
    make_first_file_system tree "$to"
  )
  rm -rf "$work"
}

# The parts of the module tree that the laboratory needs, and an init that lays memory over the host's tree.
make_first_file_system() {
  local release from=$1 to=$2 directory module number=10
  release=$(ls "$from/lib/modules")
  rm -rf "$to/lib"
  mkdir -p "$to/lib/modules/$release/kernel"
  for directory in net drivers/net drivers/virtio fs/overlayfs fs/9p fs/netfs fs/fscache lib crypto; do
    [ -d "$from/lib/modules/$release/kernel/$directory" ] || continue
    mkdir -p "$to/lib/modules/$release/kernel/$(dirname "$directory")"
    cp -a "$from/lib/modules/$release/kernel/$directory" "$to/lib/modules/$release/kernel/$(dirname "$directory")/"
  done
  cp "$from/lib/modules/$release"/modules.{builtin,order}* "$to/lib/modules/$release/"
  depmod -b "$to" "$release"
  cp "$from/boot/vmlinuz-$release" "$to/kernel"

  mkdir -p first/{bin,modules,proc,sys,dev,run,new}
  cp "$(command -v busybox)" first/bin/busybox
  for module in virtio_pci 9pnet_virtio 9p overlay; do
    modprobe -d "$to" -S "$release" --show-depends "$module" 2>/dev/null || true
  done | awk '/^insmod/ && !seen[$2]++ {print $2}' >order
  while read -r module; do
    case $module in
      *.xz) xz -dc "$module" >"first/modules/$number.ko" ;;
      *) cp "$module" "first/modules/$number.ko" ;;
    esac
    number=$((number + 1))
  done <order
  cat >first/init <<'STAGE'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
for module in /modules/*.ko; do insmod "$module"; done
mkdir -p /run/root /run/layer /run/modules /run/out
share() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=1048576,$3" "$1" "$2" || poweroff -f; }
share root /run/root ro,cache=loose
share modules /run/modules ro,cache=loose
share out /run/out rw,cache=none
mount -t tmpfs tmpfs /run/layer
mkdir /run/layer/upper /run/layer/work
mount -t overlay overlay -o lowerdir=/run/root,upperdir=/run/layer/upper,workdir=/run/layer/work /new || poweroff -f
cd /new
mkdir -p proc sys dev run tmp lib/modules
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs dev dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/netns run/lock run/out
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t securityfs security sys/kernel/security
mount --bind /run/modules/modules lib/modules
mount --bind /run/out run/out
ifconfig lo up
# Kernel threads share the root of pid 1: modules load on demand only from there.
exec switch_root /new /bin/bash /run/out/last
STAGE
  chmod 755 first/init
  (cd first && find . | cpio -o -H newc 2>/dev/null) >"$to/initrd.new"
  mv "$to/initrd.new" "$to/initrd"
}

nextest() {
  cargo nextest --version >/dev/null 2>&1 && return 0
  say "building cargo-nextest $NEXTEST_VERSION"
  export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
  persistently timeout 3000 cargo install --quiet --locked --version "$NEXTEST_VERSION" cargo-nextest </dev/null
}

[ $# -gt 0 ] || set -- packages uml nextest
for part in "$@"; do
  case $part in
    packages | uml | nextest | qemu) $part ;;
    qemu-newer) qemu_newer ;;
    *) say "unknown part: $part"; exit 2 ;;
  esac
done
