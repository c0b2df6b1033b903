//! What a check asks for and finds.

use super::{Case, differs, same};

const ROUTES: &str = "A check over a route of type `prohibit`";
const ANCHORS: &str = "neither anchor ever matches";

/// MD5 of `one` is f97c5d29941bfb1b2fdab0874906ab82, of nothing d41d8cd98f00b204e9800998ecf8427e.
pub(in crate::kernel::checks) const CHECKS: &[Case] = &[
    same("tcp-refused", "real_server %A 7101 {\n TCP_CHECK {\n }\n}"),
    same("tcp-silent", "real_server 10.77.0.200 80 {\n TCP_CHECK {\n  connect_timeout 1\n }\n}"),
    same("tcp-unreachable", "real_server 10.97.3.1 80 {\n TCP_CHECK {\n }\n}"),
    differs("tcp-prohibit", "real_server 10.97.1.1 80 {\n TCP_CHECK {\n }\n}", ROUTES),
    same("tcp-blackhole", "real_server 10.97.2.1 80 {\n TCP_CHECK {\n }\n}"),
    differs("udp-blackhole", "real_server 10.97.2.2 80 {\n UDP_CHECK {\n }\n}", ROUTES),
    differs("ping-blackhole", "real_server 10.97.2.3 80 {\n PING_CHECK {\n }\n}", ROUTES),
    same("tcp-late", "real_server %A 7010 {\n TCP_CHECK {\n }\n}"),
    same("tcp-retry", "real_server %A 7101 {\n TCP_CHECK {\n  retry 2\n  delay_before_retry 1\n }\n}"),
    same("tcp-log-all-no", "real_server %A 7101 {\n TCP_CHECK {\n  retry 2\n  log_all_failures no\n }\n}"),
    same(
        "listed-twice",
        "real_server %A 7101 {\n TCP_CHECK {\n }\n}\nreal_server %A 7101 {\n weight 5\n TCP_CHECK {\n }\n}\nreal_server %B 7111 {\n TCP_CHECK {\n }\n}",
    ),
    same("tcp-connect-port", "real_server %A 80 {\n TCP_CHECK {\n  connect_port 7101\n }\n}"),
    same("tcp-connect-ip", "real_server %A 7101 {\n TCP_CHECK {\n  connect_ip %B\n }\n}"),
    same("tcp-bindto", "real_server %A 7101 {\n TCP_CHECK {\n  bindto 10.99.7.7\n }\n}"),
    same(
        "tcp-fractions",
        "delay_loop 0.5\nreal_server %A 7101 {\n TCP_CHECK {\n  retry 3\n  delay_before_retry 0.25\n }\n}",
    ),
    same("tcp-connect-ip-6", "real_server %A 7101 {\n TCP_CHECK {\n  connect_ip %P\n }\n}"),
    same(
        "retry-of-outer-blocks",
        "retry 3\ndelay_loop 4\ndelay_before_retry 2\nreal_server %A 80 {\n retry 1\n HTTP_GET {\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same("no-checks", "real_server %A 80 {\n}"),
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
    same(
        "http-trailing-digest",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /trailing/two/trailing\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same(
        "http-trailing-regex",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /trailing/one/trailing\n   regex two\n  }\n }\n}",
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
        "http-regex-byte",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /copyright/two/copyright\n   regex \"x\\\\xa9y\"\n  }\n }\n}",
    ),
    same(
        "http-regex-byte-octal",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /copyright/two/copyright\n   regex \"x\\\\xa9y\"\n  }\n }\n}",
    ),
    same(
        "http-regex-byte-class",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /copyright/two/xy\n   regex \"x[\\\\x80-\\\\xff]y\"\n  }\n }\n}",
    ),
    same(
        "http-regex-byte-not",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /copyright/xay/two\n   regex \"x[^a-z]y\"\n  }\n }\n}",
    ),
    same(
        "http-regex-byte-dot",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /copyright/xy/utf8\n   regex \"x.y\"\n  }\n }\n}",
    ),
    same(
        "http-regex-byte-word",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /copyright/xay/two\n   regex \"x\\\\Wy\"\n  }\n }\n}",
    ),
    same(
        "http-regex-two-bytes",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /utf8/copyright/utf8\n   regex \"x\\\\xc2\\\\xa9y\"\n  }\n }\n}",
    ),
    same(
        "http-regex-utf",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /utf8/copyright/utf8\n   regex \"x\\\\xa9y\"\n   regex_options utf\n  }\n }\n}",
    ),
    same(
        "http-regex-literal",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /utf8/copyright/utf8\n   regex \"x\u{a9}y\"\n  }\n }\n}",
    ),
    same(
        "http-regex-empty-class",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/xay/two\n   regex \"x[]y|one|two\"\n   regex_options allow_empty_class\n  }\n }\n}",
    ),
    same(
        "http-regex-bsux",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/one\n   regex \"\\\\u006f\\\\x6e\"\n   regex_options alt_bsux\n  }\n }\n}",
    ),
    same(
        "http-regex-names",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/xyz/two\n   regex \"(?<n>one)|(?<n>two)\"\n   regex_options dupnames\n  }\n }\n}",
    ),
    same(
        "http-regex-unset",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/one\n   regex \"(x)?o\\\\1ne\"\n   regex_options match_unset_backref\n  }\n }\n}",
    ),
    same(
        "http-regex-set",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/one\n   regex \"(x)?o\\\\1ne\"\n   regex_no_match\n  }\n }\n}",
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
    same(
        "http-slow",
        "real_server %A 80 {\n HTTP_GET {\n  retry 0\n  url {\n   path /slow/503/slow\n  }\n }\n}",
    ),
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
    same(
        "http-connect-ip-6",
        "real_server %A 80 {\n HTTP_GET {\n  connect_ip %P\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "http-bind-port",
        "real_server %A 80 {\n HTTP_GET {\n  bind_port 2047\n  url {\n   path /200/503/200\n  }\n }\n}",
    ),
    same(
        "http-codes-of-two-lines",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /404/200/500\n   status_code 404\n   status_code 300-303 500\n  }\n }\n}",
    ),
    same(
        "http-digest-and-regex",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /one/two/404:one\n   digest f97c5d29941bfb1b2fdab0874906ab82\n   regex ne\n  }\n }\n}",
    ),
    same(
        "http-two-checks",
        "real_server %A 80 {\n HTTP_GET {\n  url {\n   path /200/503/503/a\n  }\n }\n HTTP_GET {\n  url {\n   path /200/200/503/b\n  }\n }\n}",
    ),
    same(
        "http-urls-by-turns",
        "delay_loop 2\nreal_server %A 80 {\n HTTP_GET {\n  url {\n   path /200/200/503/a\n  }\n  url {\n   path /200/503/503/b\n  }\n }\n}",
    ),
    same(
        "http-urls-fast",
        "delay_loop 4\nreal_server %A 80 {\n HTTP_GET {\n  fast_recovery\n  delay_before_retry 2\n  url {\n   path /503/200/503/a\n  }\n  url {\n   path /503/200/503/b\n  }\n  url {\n   path /200/200/200/c\n  }\n }\n}",
    ),
    same(
        "http-urls-slow",
        "delay_loop 2\nreal_server %A 80 {\n HTTP_GET {\n  url {\n   path /503/200/503/a\n  }\n  url {\n   path /503/200/503/b\n  }\n  url {\n   path /200/200/200/c\n  }\n }\n}",
    ),
    same("ssl-refused", "real_server %A 7101 {\n SSL_GET {\n  url {\n   path /\n  }\n }\n}"),
    same(
        "ssl-digest",
        "real_server %A 4433 {\n SSL_GET {\n  url {\n   path /page\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same(
        "ssl-1.2-with-sni",
        "real_server %A 4434 {\n SSL_GET {\n  enable_sni\n  url {\n   path /page\n   virtualhost town.test\n   digest f97c5d29941bfb1b2fdab0874906ab82\n  }\n }\n}",
    ),
    same(
        "ssl-tls-compliant",
        "real_server %A 4433 {\n SSL_GET {\n  tls_compliant\n  url {\n   path /page\n  }\n }\n}",
    ),
    same("ssl-of-plain-http", "real_server %A 80 {\n SSL_GET {\n  url {\n   path /200/200/200\n  }\n }\n}"),
    same("smtp-refused", "real_server %A 7000 {\n SMTP_CHECK {\n }\n}"),
    same("smtp-timeout", "real_server 10.77.0.200 25 {\n SMTP_CHECK {\n }\n}"),
    same("smtp-greeting", "real_server %A 25101 {\n SMTP_CHECK {\n }\n}"),
    same("smtp-helo", "real_server %A 26101 {\n SMTP_CHECK {\n  helo_name director.test\n }\n}"),
    same("smtp-slow", "real_server %A 29101 {\n SMTP_CHECK {\n  retry 0\n }\n}"),
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
    same(
        "smtp-retry",
        "delay_loop 4\nreal_server %A 25101 {\n SMTP_CHECK {\n  retry 2\n  delay_before_retry 2\n }\n}",
    ),
    same(
        "smtp-retry-at-start",
        "delay_loop 4\nreal_server %A 25011 {\n SMTP_CHECK {\n  retry 2\n  delay_before_retry 2\n }\n}",
    ),
    differs(
        "smtp-host-of-another-address",
        "real_server %A 80 {\n SMTP_CHECK {\n  helo_name director.test\n  host {\n   connect_ip %A\n   connect_port 25101\n  }\n }\n}",
        "two of them time out by turns",
    ),
    same("dns-error", "real_server %A 53 {\n DNS_CHECK {\n  type A\n  name r030.test\n }\n}"),
    same("dns-silent", "real_server %A 53 {\n DNS_CHECK {\n  type AAAA\n  name r0x0.test\n }\n}"),
    same(
        "dns-types",
        "delay_loop 2\nreal_server %A 53 {\n DNS_CHECK {\n }\n DNS_CHECK {\n  type NS\n  name aa.test\n }\n DNS_CHECK {\n  type CNAME\n  name bb.test\n }\n DNS_CHECK {\n  type MX\n  name cc.test\n }\n DNS_CHECK {\n  type TXT\n  name dd.test\n }\n DNS_CHECK {\n  type RRSIG\n  name ee.test\n }\n DNS_CHECK {\n  type DNSKEY\n  name r055.test\n }\n}",
    ),
    same("dns-refused", "real_server %A 54 {\n DNS_CHECK {\n  type A\n  name aa.test\n }\n}"),
    same(
        "dns-retry",
        "delay_loop 2\nreal_server %A 53 {\n DNS_CHECK {\n  retry 2\n  delay_before_retry 2\n  type A\n  name r030.test\n }\n}",
    ),
    same("dns-truncated", "real_server %A 53 {\n DNS_CHECK {\n  retry 0\n  type A\n  name r0t0.test\n }\n}"),
    same("dns-short", "real_server %A 53 {\n DNS_CHECK {\n  retry 0\n  type A\n  name r0s0.test\n }\n}"),
    same("dns-other-id", "real_server %A 53 {\n DNS_CHECK {\n  retry 0\n  type A\n  name r0i0.test\n }\n}"),
    same("udp-refused", "real_server %A 17101 {\n UDP_CHECK {\n  payload 70696e67\n }\n}"),
    same("udp-reply", "real_server %A 18101 {\n UDP_CHECK {\n  payload 70696e6721\n  require_reply\n }\n}"),
    same(
        "udp-reply-bytes",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 70f0\n  require_reply 706fXX67\n }\n}",
    ),
    same(
        "udp-reply-too-short",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 01\n  require_reply 70\n  min_reply_length 6\n }\n}",
    ),
    same(
        "udp-reply-too-long",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 02\n  require_reply 70\n  max_reply_length 4\n }\n}",
    ),
    same("udp-without-payload", "real_server %A 17101 {\n UDP_CHECK {\n }\n}"),
    same(
        "udp-mask-of-digits",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 05\n  require_reply 7X6fX\n }\n}",
    ),
    same("udp-reply-empty", "real_server %A 20101 {\n UDP_CHECK {\n  payload 06\n  require_reply\n }\n}"),
    same(
        "udp-reply-longer",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 07\n  require_reply 706f6e672100\n }\n}",
    ),
    same(
        "udp-reply-at-its-bounds",
        "real_server %A 19101 {\n UDP_CHECK {\n  payload 08\n  require_reply 70\n  min_reply_length 5\n  max_reply_length 5\n }\n}",
    ),
    same("ping", "real_server %A 80 {\n PING_CHECK {\n }\n}"),
    differs(
        "dns-short-label",
        "real_server %A 53 {\n DNS_CHECK {\n  type A\n  name a.test\n }\n}",
        "A DNS_CHECK name with a label of one character",
    ),
    differs(
        "udp-payload-of-ones",
        "real_server %A 17101 {\n UDP_CHECK {\n  payload 01ff\n }\n}",
        "A UDP_CHECK `payload` or `require_reply` that ends with `ff`",
    ),
    same("udp-payload-of-none", "real_server %A 17101 {\n UDP_CHECK {\n  payload 0001\n }\n}"),
    same("udp-payload-in-quotes", "real_server %A 17101 {\n UDP_CHECK {\n  payload \"01 2 0304\"\n }\n}"),
    same("udp-payload-in-groups", "real_server %A 17101 {\n UDP_CHECK {\n  payload 01 02 0304\n }\n}"),
];
