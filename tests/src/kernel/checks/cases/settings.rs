//! Other words in `global_defs`: starts are told of, and letters go out for those who ask for them.

use super::{Case, Kind, differs, of, same};

pub(in crate::kernel::checks) const SETTINGS: &[Case] = &[
    same(
        "tells-of-starts",
        "quorum_up \"%NOTE quorum up\"\nreal_server %A 7101 {\n notify_up \"%NOTE server up\"\n TCP_CHECK {\n }\n}\nreal_server %B 80 {\n notify_up \"%NOTE other up\"\n}",
    ),
    same(
        "tells-of-alpha",
        "alpha\nquorum_up \"%NOTE quorum up\"\nreal_server %A 7111 {\n notify_up \"%NOTE server up\"\n TCP_CHECK {\n }\n}",
    ),
    same(
        "tells-of-first-failures",
        "real_server %A 7011 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n TCP_CHECK {\n }\n}",
    ),
    same("letter-of-server", "real_server %A 7101 {\n smtp_alert\n TCP_CHECK {\n }\n}"),
    same("letter-of-none", "real_server %A 7101 {\n TCP_CHECK {\n }\n}"),
    same(
        "letter-of-service",
        "smtp_alert\nquorum 2\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "letter-of-service-without-servers",
        "smtp_alert\nreal_server %A 7101 {\n smtp_alert off\n TCP_CHECK {\n }\n}",
    ),
    same("letter-with-sorry", "smtp_alert\nsorry_server %S 80\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}"),
    same("letter-of-alpha", "smtp_alert\nalpha\nreal_server %A 7011 {\n smtp_alert\n TCP_CHECK {\n }\n}"),
    differs(
        "letter-of-omega",
        "smtp_alert\nomega\nreal_server %A 7111 {\n smtp_alert\n TCP_CHECK {\n }\n}",
        "the last ones of a stop are lost with the process",
    ),
    same(
        "letter-of-http",
        "real_server %A 80 {\n smtp_alert\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "letter-of-digest",
        "real_server %A 80 {\n smtp_alert\n HTTP_GET {\n  url {\n   path /one/two/one\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same(
        "letter-of-silence",
        "real_server %A 80 {\n smtp_alert\n HTTP_GET {\n  url {\n   path /ok/silent/ok\n  }\n }\n}",
    ),
    same(
        "letter-of-regex",
        "real_server %A 80 {\n smtp_alert\n HTTP_GET {\n  url {\n   path /one/two/one\n   regex one\n  }\n }\n}",
    ),
    same(
        "letter-of-refused-http",
        "real_server %A 7101 {\n smtp_alert\n HTTP_GET {\n  connect_port 7000\n  url {\n   path /\n  }\n }\n}",
    ),
    same("letter-of-smtp", "real_server %A 25101 {\n smtp_alert\n SMTP_CHECK {\n }\n}"),
    same("letter-of-smtp-refused", "real_server %A 7000 {\n smtp_alert\n SMTP_CHECK {\n }\n}"),
    same("letter-of-helo", "real_server %A 26101 {\n smtp_alert\n SMTP_CHECK {\n }\n}"),
    same(
        "letter-of-dns",
        "real_server %A 53 {\n smtp_alert\n DNS_CHECK {\n  retry 0\n  type A\n  name r030.test\n }\n}",
    ),
    same("letter-of-udp", "real_server %A 17101 {\n smtp_alert\n UDP_CHECK {\n }\n}"),
    same(
        "letter-of-udp-reply",
        "real_server %A 19101 {\n smtp_alert\n UDP_CHECK {\n  payload 01\n  require_reply 70\n }\n}",
    ),
    same("letter-of-ping", "real_server %A 80 {\n smtp_alert\n PING_CHECK {\n }\n}"),
    same(
        "letter-of-misc",
        "real_server %A 80 {\n smtp_alert\n MISC_CHECK {\n  misc_path \"%STATUS 0 3 0\"\n }\n}",
    ),
    same(
        "letter-of-misc-in-time",
        "real_server %A 80 {\n smtp_alert\n MISC_CHECK {\n  misc_path \"%STATUS 0 hang 0\"\n  misc_timeout 1\n }\n}",
    ),
    same(
        "letter-of-file",
        "real_server %A 80 {\n smtp_alert\n FILE_CHECK {\n  track_file flips\n  weight 0\n }\n}",
    ),
    same(
        "letter-of-several-checks",
        "real_server %A 80 {\n smtp_alert\n TCP_CHECK {\n  connect_port 7101\n }\n TCP_CHECK {\n  connect_port 7111\n }\n}",
    ),
    same(
        "letter-of-inhibited",
        "smtp_alert\nreal_server %A 7101 {\n smtp_alert\n inhibit_on_failure\n TCP_CHECK {\n }\n}",
    ),
    of(Kind::Tcp6, "letter-6", "smtp_alert\nreal_server %P 7101 {\n smtp_alert\n TCP_CHECK {\n }\n}"),
    of(
        Kind::Udp,
        "letter-of-udp-service",
        "smtp_alert\nreal_server %A 7101 {\n smtp_alert\n TCP_CHECK {\n }\n}",
    ),
    of(Kind::Mark, "letter-of-mark", "smtp_alert\nreal_server %A 7101 {\n smtp_alert\n TCP_CHECK {\n }\n}"),
    of(Kind::Group, "letter-of-group", "smtp_alert\nreal_server %A 7101 {\n smtp_alert\n TCP_CHECK {\n }\n}"),
];
