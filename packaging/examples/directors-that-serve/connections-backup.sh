#!/bin/sh
# notify_backup and notify_fault: this node doesn't balance, and listens. Argument: interface [id].
interface=$1 id=${2:-0}
ipvsadm --stop-daemon master 2>/dev/null
ipvsadm --stop-daemon backup 2>/dev/null
ipvsadm --start-daemon backup --mcast-interface "$interface" --syncid "$id"
if command -v conntrackd >/dev/null && [ -S /var/run/conntrackd.ctl ]; then
  conntrackd -t && conntrackd -n
fi
exit 0
