#!/usr/bin/env bash
# Installs what the laboratory needs and is missing: Debian packages, the user-mode kernel, cargo-nextest.
# Usage: prepare.sh [packages] [uml] [nextest]     (no word: all three)
# Needs root on Debian 12 (13 best effort) only when something is missing. No service is started:
# a policy-rc.d that refuses all starts stands in place during the installation.
set -euo pipefail

CACHE=${LAB_CACHE:-/var/cache/keepalived-lab}
NEXTEST_VERSION=0.9.143

say() { printf 'prepare: %s\n' "$*" >&2; }

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
killall=psmisc
busybox=busybox-static
nginx=nginx-light
curl=curl
mandoc=mandoc
insmod=kmod
unshare=util-linux
ping=iputils-ping
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
  timeout 300 apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null
  # shellcheck disable=SC2086  # the list is words on purpose
  timeout 900 apt-get -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 install $1 </dev/null
}

# What was installed for tests alone must not start with the machine one day.
keep_off_at_boot() {
  local unit
  command -v deb-systemd-helper >/dev/null 2>&1 || return 0
  for unit in nginx keepalived; do
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
    apt-cache show user-mode-linux >/dev/null 2>&1 || timeout 300 apt-get -qq update </dev/null
    timeout 300 apt-get -qq -o APT::Sandbox::User=root download user-mode-linux </dev/null
    dpkg -x user-mode-linux_*.deb tree
  )
  rm -rf "$CACHE/uml/modules"
  mv "$work/tree/usr/lib/uml/modules" "$CACHE/uml/modules"
  cp "$work/tree/usr/bin/linux.uml" "$CACHE/uml/linux.new"
  mv "$CACHE/uml/linux.new" "$CACHE/uml/linux"
  rm -rf "$work"
}

nextest() {
  cargo nextest --version >/dev/null 2>&1 && return 0
  say "building cargo-nextest $NEXTEST_VERSION"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    timeout 1500 cargo install --quiet --locked --version "$NEXTEST_VERSION" cargo-nextest </dev/null
}

[ $# -gt 0 ] || set -- packages uml nextest
for part in "$@"; do
  case $part in
    packages | uml | nextest) $part ;;
    *) say "unknown part: $part"; exit 2 ;;
  esac
done
