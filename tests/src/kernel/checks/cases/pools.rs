//! What follows from checks: scripts and files that set weights, several checks of a server, quorum and sorry servers,
//! and services of every kind.

use super::{Case, Kind, differs, of, same};

pub(in crate::kernel::checks) const POOLS: &[Case] = &[
    same("misc", "delay_loop 2\nreal_server %A 80 {\n MISC_CHECK {\n  misc_path \"%STATUS 0 3 0\"\n }\n}"),
    same(
        "misc-dynamic",
        "delay_loop 2\nreal_server %A 80 {\n weight 7\n MISC_CHECK {\n  misc_path \"%STATUS 2 1 255\"\n  misc_dynamic\n }\n}",
    ),
    same(
        "misc-dynamic-zero",
        "delay_loop 2\nreal_server %A 80 {\n weight 7\n MISC_CHECK {\n  misc_path \"%STATUS 12 0 3\"\n  misc_dynamic\n }\n}",
    ),
    same(
        "misc-timeout",
        "delay_loop 2\nreal_server %A 80 {\n MISC_CHECK {\n  misc_path \"%STATUS 0 hang 0\"\n  misc_timeout 1\n }\n}",
    ),
    same(
        "misc-killed",
        "delay_loop 3\nreal_server %A 80 {\n MISC_CHECK {\n  misc_path \"%STATUS 0 kill 0\"\n }\n}",
    ),
    same(
        "misc-highest",
        "delay_loop 3\nreal_server %A 80 {\n MISC_CHECK {\n  misc_path \"%STATUS 2 255 0\"\n }\n}",
    ),
    differs(
        "misc-dynamic-killed",
        "delay_loop 3\nreal_server %A 80 {\n MISC_CHECK {\n  misc_path \"%STATUS 5 kill 254\"\n  misc_dynamic\n }\n}",
        "After a dynamic script was killed",
    ),
    same(
        "misc-dynamic-retry",
        "delay_loop 3\nreal_server %A 80 {\n weight 9\n MISC_CHECK {\n  misc_path \"%STATUS 0 1 2\"\n  misc_dynamic\n  retry 2\n  delay_before_retry 0.5\n }\n}",
    ),
    same(
        "misc-dynamic-inhibited",
        "delay_loop 3\nreal_server %A 80 {\n inhibit_on_failure\n weight 9\n MISC_CHECK {\n  misc_path \"%STATUS 6 1 4\"\n  misc_dynamic\n }\n}",
    ),
    same(
        "misc-dynamic-and-file",
        "delay_loop 3\nreal_server %A 80 {\n weight 9\n MISC_CHECK {\n  misc_path \"%STATUS 6 4 0\"\n  misc_dynamic\n }\n FILE_CHECK {\n  track_file flips\n  weight 1\n }\n}",
    ),
    same("file-down", "real_server %A 80 {\n FILE_CHECK {\n  track_file flips\n  weight 0\n }\n}"),
    same(
        "file-weight",
        "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file flips\n  weight 2\n }\n}",
    ),
    same(
        "file-weight-less",
        "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file flips\n  weight -1\n }\n}",
    ),
    same(
        "file-weight-to-nothing",
        "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file flips\n  weight -3\n }\n}",
    ),
    same(
        "file-weight-reversed",
        "real_server %A 80 {\n weight 20\n FILE_CHECK {\n  track_file flips\n  weight 2 reverse\n }\n}",
    ),
    same("file-weight-of-file", "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file flips\n }\n}"),
    same(
        "file-lowest",
        "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file deep\n  weight 1\n }\n}",
    ),
    same("file-gone", "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file gone\n  weight 1\n }\n}"),
    same(
        "file-twice",
        "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file flips\n  weight 1\n }\n FILE_CHECK {\n  track_file gone\n  weight 2\n }\n}",
    ),
    same(
        "file-inhibited",
        "real_server %A 80 {\n weight 10\n inhibit_on_failure\n FILE_CHECK {\n  track_file flips\n  weight 0\n }\n}",
    ),
    same(
        "several-checks",
        "real_server %A 80 {\n TCP_CHECK {\n  connect_port 7111\n }\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "several-checks-of-kinds",
        "delay_loop 2\nreal_server %A 7111 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n TCP_CHECK {\n }\n PING_CHECK {\n }\n MISC_CHECK {\n  misc_path \"%STATUS 0 1 0\"\n }\n FILE_CHECK {\n  track_file flips\n  weight 0\n }\n}",
    ),
    same(
        "notes",
        "quorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7101 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down 'with a blank'\"\n TCP_CHECK {\n }\n}",
    ),
    same(
        "quorum",
        "quorum 2\nhysteresis 1\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n TCP_CHECK {\n }\n}\nreal_server %C 7100 {\n TCP_CHECK {\n  retry 2\n  delay_loop 4\n }\n}",
    ),
    same(
        "quorum-of-weights",
        "quorum 3\nreal_server %A 7101 {\n weight 3\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n weight 2\n TCP_CHECK {\n }\n}",
    ),
    same(
        "quorum-never",
        "quorum 3\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7111 {\n TCP_CHECK {\n }\n}\nreal_server %B 7000 {\n weight 2\n TCP_CHECK {\n }\n}",
    ),
    same(
        "quorum-hysteresis-at-start",
        "quorum 2\nhysteresis 1\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7111 {\n TCP_CHECK {\n }\n}\nreal_server %B 7100 {\n TCP_CHECK {\n }\n}\nreal_server %C 7010 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "quorum-hysteresis-reached",
        "sorry_server %S 80\nquorum 2\nhysteresis 1\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7011 {\n TCP_CHECK {\n }\n}\nreal_server %B 7010 {\n TCP_CHECK {\n }\n}\nreal_server %C 7111 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "quorum-of-inhibited",
        "quorum 2\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7101 {\n inhibit_on_failure\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n inhibit_on_failure\n TCP_CHECK {\n }\n}",
    ),
    same(
        "quorum-of-weightless",
        "quorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7111 {\n weight 0\n TCP_CHECK {\n }\n}\nreal_server %B 7101 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "quorum-of-dynamic",
        "delay_loop 3\nquorum 5\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 80 {\n weight 9\n MISC_CHECK {\n  misc_path \"%STATUS 9 4 0\"\n  misc_dynamic\n }\n}",
    ),
    same(
        "quorum-of-files",
        "quorum 5\nsorry_server %S 80\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 80 {\n weight 6\n FILE_CHECK {\n  track_file flips\n  weight -1\n }\n}",
    ),
    same("sorry", "sorry_server %S 80\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}"),
    same(
        "sorry-quorum",
        "sorry_server %S 80\nquorum 2\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "sorry-inhibit",
        "sorry_server %S 80\nsorry_server_inhibit\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "sorry-is-a-server",
        "sorry_server %B 7101\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}\nreal_server %B 7101 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "sorry-inhibit-quorum",
        "sorry_server %S 80\nsorry_server_inhibit\nquorum 2\nreal_server %A 7101 {\n inhibit_on_failure\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "sorry-inhibit-alpha",
        "alpha\nsorry_server %S 80\nsorry_server_inhibit\nreal_server %A 7011 {\n TCP_CHECK {\n }\n}",
    ),
    of(Kind::Tcp6, "sorry-6", "sorry_server %T 80\nreal_server %P 7101 {\n TCP_CHECK {\n }\n}"),
    same("inhibit-on-failure", "real_server %A 7101 {\n inhibit_on_failure\n weight 4\n TCP_CHECK {\n }\n}"),
    same(
        "inhibit-with-sorry",
        "sorry_server %S 80\nreal_server %A 7101 {\n inhibit_on_failure\n TCP_CHECK {\n }\n}",
    ),
    same("alpha", "alpha\nreal_server %A 7010 {\n TCP_CHECK {\n }\n}"),
    same(
        "alpha-of-http",
        "real_server %A 7100 {\n notify_up \"%NOTE up\"\n notify_down \"%NOTE down\"\n HTTP_GET {\n  alpha\n  url {\n   path /\n   status_code 200\n  }\n }\n}",
    ),
    same(
        "alpha-of-check",
        "real_server %A 7101 {\n notify_up \"%NOTE up\"\n notify_down \"%NOTE down\"\n TCP_CHECK {\n  alpha\n }\n}",
    ),
    same(
        "alpha-with-sorry",
        "alpha\nsorry_server %S 80\nquorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7010 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "alpha-of-several-checks",
        "alpha\nquorum_up \"%NOTE up\"\nreal_server %A 7111 {\n notify_up \"%NOTE server up\"\n TCP_CHECK {\n }\n HTTP_GET {\n  connect_port 80\n  url {\n   path /503/200/200\n  }\n }\n UDP_CHECK {\n  connect_port 17111\n }\n}",
    ),
    same(
        "alpha-inhibited",
        "alpha\nreal_server %A 7011 {\n inhibit_on_failure\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n TCP_CHECK {\n }\n}",
    ),
    same(
        "alpha-of-file",
        "alpha\nreal_server %A 80 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n FILE_CHECK {\n  track_file flips\n  weight 0\n }\n}",
    ),
    same(
        "alpha-without-checks",
        "alpha\nquorum_up \"%NOTE up\"\nreal_server %A 80 {\n notify_up \"%NOTE server up\"\n}",
    ),
    same(
        "omega",
        "omega\nquorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7111 {\n notify_down \"%NOTE server down\"\n TCP_CHECK {\n }\n}",
    ),
    same(
        "omega-alpha",
        "alpha\nomega\nquorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7100 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n TCP_CHECK {\n }\n}",
    ),
    same(
        "omega-with-sorry",
        "omega\nsorry_server %S 80\nquorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7111 {\n TCP_CHECK {\n }\n}\nreal_server %B 7110 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "omega-inhibited",
        "omega\nquorum 2\nhysteresis 1\nreal_server %A 7111 {\n inhibit_on_failure\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n TCP_CHECK {\n }\n}\nreal_server %C 7111 {\n TCP_CHECK {\n }\n}",
    ),
    same("suspended", "ha_suspend\nreal_server %A 7001 {\n TCP_CHECK {\n }\n}"),
    same(
        "suspended-while-down",
        "ha_suspend\nreal_server %A 7001 {\n TCP_CHECK {\n }\n}\nreal_server %B 80 {\n HTTP_GET {\n  url {\n   path /503/503/200\n  }\n }\n}",
    ),
    same("suspended-alpha", "ha_suspend\nalpha\nreal_server %A 7110 {\n TCP_CHECK {\n }\n}"),
    same(
        "suspended-misc",
        "ha_suspend\nreal_server %A 7110 {\n MISC_CHECK {\n  misc_path \"%STATUS 1 1 0\"\n }\n}",
    ),
    same(
        "suspended-file",
        "ha_suspend\nreal_server %A 7110 {\n FILE_CHECK {\n  track_file flips\n  weight 0\n }\n}",
    ),
    Case {
        name: "suspended-6",
        kind: Kind::Tcp6,
        block: "ha_suspend\nreal_server %P 7001 {\n TCP_CHECK {\n }\n}",
        differs: Some("`ha_suspend` of an IPv6 service"),
    },
    of(Kind::Tcp6, "tcp-6", "real_server %P 7101 {\n TCP_CHECK {\n }\n}"),
    of(Kind::Tcp6, "tcp-6-connect-ip-4", "real_server %P 7101 {\n TCP_CHECK {\n  connect_ip %A\n }\n}"),
    of(Kind::Tcp6, "http-6", "real_server %P 80 {\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}"),
    of(
        Kind::Tcp6,
        "http-6-version",
        "real_server %P 80 {\n HTTP_GET {\n  http_protocol 1.1\n  connect_port 80\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    of(Kind::Tcp6, "smtp-6", "real_server %P 25101 {\n SMTP_CHECK {\n }\n}"),
    of(Kind::Tcp6, "dns-6", "real_server %P 53 {\n DNS_CHECK {\n  type AAAA\n  name r030.test\n }\n}"),
    of(Kind::Tcp6, "udp-6", "real_server %P 17101 {\n UDP_CHECK {\n }\n}"),
    of(Kind::Tcp6, "ping-6", "real_server %P 80 {\n PING_CHECK {\n }\n}"),
    of(
        Kind::Udp,
        "udp-service",
        "real_server %A 53 {\n DNS_CHECK {\n  type A\n  name r030.test\n }\n}\nreal_server %B 7101 {\n TCP_CHECK {\n }\n}",
    ),
    of(
        Kind::Udp,
        "udp-service-ops",
        "ops\nreal_server %A 18101 {\n UDP_CHECK {\n  payload 09\n  require_reply\n }\n}",
    ),
    of(
        Kind::Mark,
        "mark",
        "quorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}",
    ),
    of(
        Kind::Mark,
        "mark-http",
        "sorry_server %S 80\nreal_server %A 80 {\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    of(
        Kind::Group,
        "group",
        "quorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}",
    ),
    of(
        Kind::Group,
        "group-sorry",
        "sorry_server %S 80\nreal_server %A 80 {\n inhibit_on_failure\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "file-down-at-start",
        "quorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 80 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n FILE_CHECK {\n  track_file flops\n  weight 0\n }\n}",
    ),
    same(
        "file-down-at-start-alpha",
        "alpha\nreal_server %A 80 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n FILE_CHECK {\n  track_file flops\n  weight 0\n }\n}",
    ),
    same(
        "file-down-at-start-with-sorry",
        "sorry_server %S 80\nquorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 80 {\n FILE_CHECK {\n  track_file flops\n  weight 0\n }\n}",
    ),
];
