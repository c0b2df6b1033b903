//! What is checked, and how.

/// One virtual server.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What stands in its block. `%A` to `%C` are addresses of servers, `%S` that of a sorry server, `%NOTE` a program
    /// that writes its arguments down, `%STATUS` one that exits with its first, second or third argument by phase.
    pub(super) block: &'static str,
    /// Words of `docs/differences.md` where the outcomes differ.
    pub(super) differs: Option<&'static str>,
}

const fn same(name: &'static str, block: &'static str) -> Case {
    Case { name, block, differs: None }
}

const fn differs(name: &'static str, block: &'static str, words: &'static str) -> Case {
    Case { name, block, differs: Some(words) }
}

const ANCHORS: &str = "neither anchor ever matches";

/// MD5 of `one` is f97c5d29941bfb1b2fdab0874906ab82, of nothing d41d8cd98f00b204e9800998ecf8427e.
pub(super) const CASES: &[Case] = &[
    // TCP_CHECK
    same("tcp-refused", "real_server %A 7101 {\n TCP_CHECK {\n }\n}"),
    same("tcp-silent", "real_server 10.77.0.200 80 {\n TCP_CHECK {\n  connect_timeout 1\n }\n}"),
    same("tcp-late", "real_server %A 7010 {\n TCP_CHECK {\n }\n}"),
    same("tcp-retry", "real_server %A 7101 {\n TCP_CHECK {\n  retry 2\n  delay_before_retry 1\n }\n}"),
    same("tcp-connect-port", "real_server %A 80 {\n TCP_CHECK {\n  connect_port 7101\n }\n}"),
    same("tcp-connect-ip", "real_server %A 7101 {\n TCP_CHECK {\n  connect_ip %B\n }\n}"),
    same("tcp-bindto", "real_server %A 7101 {\n TCP_CHECK {\n  bindto 10.99.7.7\n }\n}"),
    same(
        "retry-of-outer-blocks",
        "retry 3\ndelay_loop 4\ndelay_before_retry 2\nreal_server %A 80 {\n retry 1\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same("no-checks", "real_server %A 80 {\n}"),
    // HTTP_GET
    same("http-status", "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}"),
    same(
        "http-status-code",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /404/200/404\n   status_code 404\n  }\n }\n}",
    ),
    same(
        "http-status-ranges",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /404/500/204\n   status_code 200-299 404\n  }\n }\n}",
    ),
    same("http-redirect", "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /302/201/302\n  }\n }\n}"),
    same(
        "http-digest",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/one\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same(
        "http-digest-empty",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /empty/one/empty\n   digest d41d8cd98f00b204e9800998ecf8427e\n  }\n }\n}",
    ),
    same(
        "http-digest-other-status",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /404:one/one/404:one\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same(
        "http-digest-and-status",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /404:one/one/404:two\n   digest f97c5d29941bfb1b2fdab0874906ab82\n   status_code 404\n  }\n }\n}",
    ),
    same(
        "http-digest-chunked",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /chunked/one/chunked\n   digest 0afda968561a83b47b994583d60dd846\n  }\n }\n}",
    ),
    same(
        "http-unfinished",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /unfinished/one/unfinished\n  }\n }\n}",
    ),
    same(
        "http-unfinished-digest",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /unfinished/two/unfinished\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same("http-headless", "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/headless/one\n  }\n }\n}"),
    same(
        "http-regex",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/xonex\n   regex \"on[e]\"\n  }\n }\n}",
    ),
    differs(
        "http-regex-no-match",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/three\n   regex \"^tw\"\n   regex_no_match\n  }\n }\n}",
        ANCHORS,
    ),
    differs(
        "http-regex-start",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/one\n   regex \"^on\"\n  }\n }\n}",
        ANCHORS,
    ),
    differs(
        "http-regex-end",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/one\n   regex \"ne$\"\n  }\n }\n}",
        ANCHORS,
    ),
    same(
        "http-regex-caseless",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /ONE/two/one\n   regex \"on e\"\n   regex_options caseless extended\n  }\n }\n}",
    ),
    differs(
        "http-regex-offset",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /onexone/xxone/onexone\n   regex one\n   regex_min_offset 3\n   regex_max_offset 5\n  }\n }\n}",
        ANCHORS,
    ),
    differs(
        "http-regex-min",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /xxxonexx/onexxx/xxonexx\n   regex one\n   regex_min_offset 2\n  }\n }\n}",
        ANCHORS,
    ),
    differs(
        "http-regex-max",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /xxxonexx/xxxxxonex/onexxxx\n   regex one\n   regex_max_offset 4\n  }\n }\n}",
        ANCHORS,
    ),
    differs(
        "http-regex-options",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /ONE/two/one\n   regex \"^on e$\"\n   regex_options caseless extended\n  }\n }\n}",
        ANCHORS,
    ),
    same(
        "http-several-urls",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /200/200/200/a\n  }\n  url {\n   path /200/503/200/b\n  }\n  url {\n   path /200/200/200/c\n  }\n }\n}",
    ),
    same(
        "http-fast-recovery",
        "real_server %A 80 {\n HTTP_GET {\n  fast_recovery\n  url {\n   path /200/503/200/a\n  }\n  url {\n   path /200/200/200/b\n  }\n }\n}",
    ),
    same(
        "http-virtualhost-of-url",
        "virtualhost vs.test\nreal_server %A 80 {\n virtualhost rs.test\n HTTP_GET {\n  virtualhost check.test\n  url {\n   path /200/503/200\n   virtualhost url.test\n  }\n }\n}",
    ),
    same(
        "http-virtualhost-of-check",
        "virtualhost vs.test\nreal_server %A 80 {\n virtualhost rs.test\n HTTP_GET {\n  virtualhost check.test\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "http-virtualhost-of-server",
        "virtualhost vs.test\nreal_server %A 80 {\n virtualhost rs.test\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "http-virtualhost-of-service",
        "virtualhost vs.test\nreal_server %A 80 {\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "http-1.0c",
        "real_server %A 80 {\n HTTP_GET {\n  http_protocol 1.0c\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "http-1.1",
        "real_server %A 80 {\n HTTP_GET {\n  http_protocol 1.1\n  url {\n   path /200/503/200\n   virtualhost url.test\n  }\n }\n}",
    ),
    same(
        "http-1.1-without-host",
        "real_server %A 80 {\n HTTP_GET {\n  http_protocol 1.1\n  url {\n   path /200/503/200?a=b&c=%d#e\n  }\n }\n}",
    ),
    same("http-silent", "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /ok/silent/ok\n  }\n }\n}"),
    same("http-closes", "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /ok/close/ok\n  }\n }\n}"),
    same("http-garbage", "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /ok/garbage/ok\n  }\n }\n}"),
    differs(
        "http-interim",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /ok/interim/ok\n  }\n }\n}",
        "Answers 1xx are judged like others",
    ),
    same(
        "http-retry",
        "real_server %A 80 {\n HTTP_GET {\n  nb_get_retry 2\n  delay_before_retry 2\n  delay_loop 4\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same("http-refused", "real_server %A 7101 {\n HTTP_GET {\n  url {\n   path /\n  }\n }\n}"),
    // SSL_GET
    same("ssl-refused", "real_server %A 7101 {\n SSL_GET {\n  url {\n   path /\n  }\n }\n}"),
    same(
        "ssl-digest",
        "real_server %A 4433 {\n SSL_GET {\n  url {\n   path /page\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same(
        "ssl-1.2-with-sni",
        "real_server %A 4434 {\n SSL_GET {\n  enable_sni\n  url {\n   path /page\n   virtualhost town.test\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same("ssl-of-plain-http", "real_server %A 80 {\n SSL_GET {\n  url {\n   path /200/200/200\n  }\n }\n}"),
    // SMTP_CHECK
    same("smtp-refused", "real_server %A 7000 {\n SMTP_CHECK {\n }\n}"),
    same("smtp-timeout", "real_server 10.77.0.200 25 {\n SMTP_CHECK {\n }\n}"),
    same("smtp-greeting", "real_server %A 25101 {\n SMTP_CHECK {\n }\n}"),
    same("smtp-helo", "real_server %A 26101 {\n SMTP_CHECK {\n  helo_name director.test\n }\n}"),
    same("smtp-silent", "real_server %A 27101 {\n SMTP_CHECK {\n }\n}"),
    differs(
        "smtp-several-lines",
        "real_server %A 28101 {\n SMTP_CHECK {\n }\n}",
        "SMTP_CHECK fails on a greeting or an answer of several lines",
    ),
    differs(
        "smtp-hosts",
        "real_server %A 25 {\n SMTP_CHECK {\n  host {\n   connect_ip %A\n   connect_port 25111\n  }\n  host {\n   connect_ip %A\n   connect_port 26101\n  }\n }\n}",
        "two of them time out by turns",
    ),
    // DNS_CHECK
    same("dns-error", "real_server %A 53 {\n DNS_CHECK {\n  type A\n  name r030.test\n }\n}"),
    same("dns-silent", "real_server %A 53 {\n DNS_CHECK {\n  type AAAA\n  name r0x0.test\n }\n}"),
    same(
        "dns-types",
        "delay_loop 2\nreal_server %A 53 {\n DNS_CHECK {\n }\n DNS_CHECK {\n  type NS\n  name a.test\n }\n DNS_CHECK {\n  type CNAME\n  name b.test\n }\n DNS_CHECK {\n  type MX\n  name c.test\n }\n DNS_CHECK {\n  type TXT\n  name d.test\n }\n DNS_CHECK {\n  type RRSIG\n  name e.test\n }\n DNS_CHECK {\n  type DNSKEY\n  name r055.test\n }\n}",
    ),
    same("dns-refused", "real_server %A 54 {\n DNS_CHECK {\n  type A\n  name a.test\n }\n}"),
    // UDP_CHECK
    same("udp-refused", "real_server %A 17101 {\n UDP_CHECK {\n  payload 70696e67\n }\n}"),
    same("udp-reply", "real_server %A 18101 {\n UDP_CHECK {\n  payload 70696e6721\n  require_reply\n }\n}"),
    same(
        "udp-reply-bytes",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 00ff\n  require_reply 706fXX67\n }\n}",
    ),
    same(
        "udp-reply-too-short",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 01\n  require_reply 70\n  min_reply_length 6\n }\n}",
    ),
    same(
        "udp-reply-too-long",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 02\n  require_reply 70\n  max_reply_length 4\n }\n}",
    ),
    // PING_CHECK, MISC_CHECK, FILE_CHECK
    same("ping", "real_server %A 80 {\n PING_CHECK {\n }\n}"),
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
    same("file-down", "real_server %A 80 {\n FILE_CHECK {\n  track_file flips\n  weight 0\n }\n}"),
    same(
        "file-weight",
        "real_server %A 80 {\n weight 10\n FILE_CHECK {\n  track_file flips\n  weight 2\n }\n}",
    ),
    // Several checks and pools
    same(
        "several-checks",
        "real_server %A 80 {\n TCP_CHECK {\n  connect_port 7111\n }\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
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
    same("sorry", "sorry_server %S 80\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}"),
    same(
        "sorry-quorum",
        "sorry_server %S 80\nquorum 2\nquorum_up \"%NOTE quorum up\"\nquorum_down \"%NOTE quorum down\"\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n TCP_CHECK {\n }\n}",
    ),
    same(
        "sorry-inhibit",
        "sorry_server %S 80\nsorry_server_inhibit\nreal_server %A 7101 {\n TCP_CHECK {\n }\n}",
    ),
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
        "omega",
        "omega\nquorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7111 {\n notify_down \"%NOTE server down\"\n TCP_CHECK {\n }\n}",
    ),
    same(
        "omega-alpha",
        "alpha\nomega\nquorum_up \"%NOTE up\"\nquorum_down \"%NOTE down\"\nreal_server %A 7100 {\n notify_up \"%NOTE server up\"\n notify_down \"%NOTE server down\"\n TCP_CHECK {\n }\n}",
    ),
];
