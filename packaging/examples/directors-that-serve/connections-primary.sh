#!/bin/sh
# notify_master: this node balances, and tells the others of its connections. Argument: interface [id].
interface=$1 id=${2:-0}
ipvsadm --stop-daemon backup 2>/dev/null
ipvsadm --stop-daemon master 2>/dev/null
ipvsadm --start-daemon master --mcast-interface "$interface" --syncid "$id"
# Where a firewall follows connections too, its table is taken over in the same moment.
if command -v conntrackd >/dev/null && [ -S /var/run/conntrackd.ctl ]; then
  conntrackd -c && conntrackd -f && conntrackd -R && conntrackd -B
fi
exit 0
