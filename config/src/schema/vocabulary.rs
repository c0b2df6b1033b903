//! Words that lists and option lines know: one vocabulary per kind of line.
//!
//! Lists that do nothing yet are checked against these; the keyword catalogue names them.

use super::*;
use Takes::{Address, Interface, Nothing, Number, Prefixed, Range, Rest, Word as Text};

/// What follows an option.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    /// Nothing.
    Nothing,
    /// One word.
    Word,
    /// One word, with `lock`, `inet`, `inet6` or `to` allowed in front.
    Prefixed,
    /// A whole number within bounds.
    Number(i64, i64),
    /// An address.
    Address,
    /// The name of an interface.
    Interface,
    /// A bound of ports or user ids, `LOW-HIGH` or one number.
    Range,
    /// Everything to the end of the line.
    Rest,
}

/// One option.
pub(crate) type Choice = (&'static str, Takes);

/// The words of one kind of line.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// Path of the block, with `:entry` or `:option`.
    pub(crate) block: &'static str,
    /// What the free words of the line are, as keyword lists call them.
    pub(crate) free: &'static [&'static str],
    /// How many free words a line may have.
    pub(crate) most: usize,
    /// Options.
    pub(crate) options: &'static [Choice],
    /// Vocabulary whose words count too.
    pub(crate) base: Option<&'static Vocabulary>,
    /// Words that are allowed without a row of their own.
    pub(crate) extra: &'static [&'static str],
}

impl Vocabulary {
    /// Checks the words of a line from `from` on.
    pub(super) fn check(&self, lowering: &mut Lowering<'_>, line: &Line<'_>, from: usize) {
        let mut at = from;
        let mut free: usize = 0;
        while let Some(word) = line.word(at) {
            at += 1;
            if self.extra.contains(&word.text)
                || self.base.is_some_and(|base| base.extra.contains(&word.text))
            {
                continue;
            }
            let Some((name, takes)) = self.choices().find(|(name, _)| *name == word.text) else {
                free += 1;
                if free > self.most {
                    self.unknown(lowering, word);
                    return;
                }
                continue;
            };
            match takes {
                Takes::Nothing => {}
                Takes::Rest => return,
                Takes::Prefixed => {
                    let prefix = line.word(at).map_or("", |word| word.text);
                    at += usize::from(matches!(prefix, "lock" | "inet" | "inet6" | "to"));
                    if lowering.required(line, at, "a value for its last option").is_none() {
                        return;
                    }
                    at += 1;
                }
                Takes::Word | Takes::Number(..) | Takes::Address | Takes::Interface | Takes::Range => {
                    let Some(value) = lowering.required(line, at, "a value for its last option") else {
                        return;
                    };
                    self.value(lowering, name, *takes, value);
                    at += 1;
                }
            }
        }
    }

    fn choices(&self) -> impl Iterator<Item = &'static Choice> {
        self.options.iter().chain(self.base.map_or(&[][..], |base| base.options))
    }

    fn value(&self, lowering: &mut Lowering<'_>, name: &str, takes: Takes, value: Word<'_>) {
        match takes {
            Takes::Number(low, high) => {
                lowering.number_word(name, value, low, high);
            }
            Takes::Address => {
                lowering.address(name, value);
            }
            Takes::Interface => {
                lowering.interface_word(value);
            }
            Takes::Range => {
                let (low, high) = value.text.split_once('-').unwrap_or((value.text, value.text));
                if !matches!((low.parse::<u32>(), high.parse::<u32>()), (Ok(low), Ok(high)) if low <= high) {
                    let message = format!("{name} takes a range LOW-HIGH, got '{}'", value.text);
                    lowering.error(code::NOT_A_NUMBER, value.span, message);
                }
            }
            Takes::Nothing | Takes::Word | Takes::Prefixed | Takes::Rest => {}
        }
    }

    fn unknown(&self, lowering: &mut Lowering<'_>, word: Word<'_>) {
        let message =
            format!("Unknown keyword '{}' in {}", word.text, self.block.split(':').next().unwrap_or(""));
        let problem = Problem::error(code::UNKNOWN_KEYWORD, word.span, message);
        let names = self.choices().map(|(name, _)| *name);
        lowering.report(match suggest::nearest(word.text, names) {
            Some(name) => problem.help(format!("did you mean {name}?")),
            None => problem,
        });
    }
}

const fn vocabulary(
    block: &'static str,
    free: &'static [&'static str],
    most: usize,
    options: &'static [Choice],
) -> Vocabulary {
    Vocabulary { block, free, most, options, base: None, extra: &[] }
}

const U32: Takes = Number(0, 4_294_967_295);
const BYTE: Takes = Number(0, 255);
const WEIGHT_253: &[Choice] = &[("weight", Number(-254, 254)), ("reverse", Nothing), ("noreverse", Nothing)];
const GROUP_WEIGHT: &[Choice] = &[];

/// Types of a route or rule, which stand for themselves.
const ROUTE_TYPES: &[&str] = &[
    "unicast",
    "local",
    "broadcast",
    "multicast",
    "throw",
    "unreachable",
    "prohibit",
    "blackhole",
    "nat",
    "anycast",
    "xresolve",
];

const ROUTE_OPTIONS: &[Choice] = &[
    ("inet", Nothing),
    ("inet6", Nothing),
    ("to", Nothing),
    ("src", Address),
    ("via", Prefixed),
    ("gw", Prefixed),
    ("or", Address),
    ("from", Text),
    ("tos", Text),
    ("dsfield", Text),
    ("table", Text),
    ("vrf", Interface),
    ("protocol", Text),
    ("scope", Text),
    ("metric", U32),
    ("priority", U32),
    ("preference", U32),
    ("dev", Interface),
    ("oif", Interface),
    ("onlink", Nothing),
    ("encap", Rest),
    ("expires", U32),
    ("mtu", Prefixed),
    ("hoplimit", BYTE),
    ("advmss", Prefixed),
    ("rtt", Prefixed),
    ("rttvar", Prefixed),
    ("reordering", Prefixed),
    ("window", U32),
    ("cwnd", Prefixed),
    ("ssthresh", Prefixed),
    ("realms", Text),
    ("rto_min", Prefixed),
    ("initcwnd", U32),
    ("initrwnd", U32),
    ("features", Text),
    ("quickack", Number(0, 1)),
    ("congctl", Prefixed),
    ("pref", Text),
    ("ttl-propagate", Text),
    ("fastopen_no_cookie", Number(0, 1)),
    ("add", Nothing),
    ("prepend", Nothing),
    ("append", Nothing),
    ("as", Prefixed),
    ("nexthop", Rest),
    ("no_track", Nothing),
];

/// `virtual_routes`.
pub(super) static ROUTE: Vocabulary = Vocabulary {
    block: "vrrp_instance/virtual_routes:entry",
    free: &["<DEST>"],
    most: 1,
    options: ROUTE_OPTIONS,
    base: None,
    extra: ROUTE_TYPES,
};

/// `static_routes`.
pub(super) static STATIC_ROUTE: Vocabulary = Vocabulary {
    block: "static_routes:entry",
    free: &["<route>"],
    most: 1,
    options: &[("track_group", Text)],
    base: Some(&ROUTE),
    extra: &[],
};

/// Encapsulations of a route.
pub(super) static ENCAP: Vocabulary = vocabulary(
    "vrrp_instance/virtual_routes:entry/encap",
    &[],
    0,
    &[("ip", Rest), ("ip6", Rest), ("mpls", Rest), ("ila", Rest)],
);

const RULE_OPTIONS: &[Choice] = &[
    ("inet", Nothing),
    ("inet6", Nothing),
    ("from", Text),
    ("to", Text),
    ("table", Text),
    ("lookup", Text),
    ("not", Nothing),
    ("preference", Text),
    ("order", Text),
    ("priority", Text),
    ("tos", Text),
    ("dsfield", Text),
    ("fwmark", Text),
    ("realms", Text),
    ("suppress_prefixlength", Number(0, 2_147_483_647)),
    ("sup_pl", Number(0, 2_147_483_647)),
    ("suppress_ifgroup", Text),
    ("sup_group", Text),
    ("dev", Interface),
    ("iif", Interface),
    ("oif", Interface),
    ("tunnel-id", Text),
    ("uidrange", Range),
    ("l3mdev", Nothing),
    ("protocol", BYTE),
    ("ipproto", Text),
    ("sport", Range),
    ("dport", Range),
    ("type", Nothing),
    ("goto", U32),
    ("nop", Nothing),
    ("blackhole", Nothing),
    ("unreachable", Nothing),
    ("prohibit", Nothing),
    ("no_track", Nothing),
];

/// `virtual_rules`.
pub(super) static RULE: Vocabulary = vocabulary("vrrp_instance/virtual_rules:entry", &[], 0, RULE_OPTIONS);

/// `static_rules`.
pub(super) static STATIC_RULE: Vocabulary = Vocabulary {
    base: Some(&RULE),
    ..vocabulary("static_rules:entry", &["<rule>"], 0, &[("track_group", Text)])
};

const ADDRESS_OPTIONS: &[Choice] = &[
    ("dev", Text),
    ("scope", Text),
    ("broadcast", Text),
    ("brd", Text),
    ("label", Text),
    ("peer", Address),
    ("home", Nothing),
    ("-nodad", Nothing),
    ("mngtmpaddr", Nothing),
    ("noprefixroute", Nothing),
    ("autojoin", Nothing),
    ("no_track", Nothing),
    ("preferred_lft", Text),
    ("use_vmac", Nothing),
];

/// `virtual_ipaddress`.
pub(super) static ADDRESS: Vocabulary =
    vocabulary("vrrp_instance/virtual_ipaddress:entry", &["<IPADDR>[/<PREFIX>]"], 1, ADDRESS_OPTIONS);

/// `virtual_ipaddress_excluded`: the same options.
pub(super) static EXCLUDED: Vocabulary =
    vocabulary("vrrp_instance/virtual_ipaddress_excluded:entry", &["<IPADDR>[/<PREFIX>]"], 1, &[]);

/// `static_ipaddress`: the options of `virtual_ipaddress` and one more.
pub(super) static STATIC_ADDRESS: Vocabulary = Vocabulary {
    base: Some(&ADDRESS),
    ..vocabulary("static_ipaddress:entry", &["<address>"], 1, &[("track_group", Text)])
};

/// `unicast_peer`.
pub(super) static PEER: Vocabulary =
    vocabulary("vrrp_instance/unicast_peer:entry", &["<IPADDR>"], 1, &[("min_ttl", BYTE), ("max_ttl", BYTE)]);

/// `linkbeat_interfaces`.
pub(super) static LINKBEAT: Vocabulary = Vocabulary {
    block: "linkbeat_interfaces:entry",
    free: &["<IFNAME>"],
    most: 1,
    options: &[],
    base: None,
    extra: &["MII", "ETHTOOL", "IOCTL"],
};

/// `interface_up_down_delays`.
pub(super) static DELAYS: Vocabulary = vocabulary("interface_up_down_delays:entry", &["<IFNAME>"], 3, &[]);

/// The `track_*` lists of an instance.
pub(super) static TRACKED: &[Vocabulary] = &[
    vocabulary(
        "vrrp_instance/track_interface:entry",
        &["<IFNAME>"],
        1,
        &[("weight", Number(-254, 254)), ("reverse", Nothing)],
    ),
    vocabulary("vrrp_instance/track_script:entry", &["<SCRIPT_NAME>"], 1, WEIGHT_253),
    vocabulary("vrrp_instance/track_file:entry", &["<FILE_NAME>"], 1, WEIGHT_253),
    vocabulary("vrrp_instance/track_process:entry", &["<PROCESS_NAME>"], 1, WEIGHT_253),
    vocabulary("vrrp_instance/track_bfd:entry", &["<BFD_NAME>"], 1, WEIGHT_253),
    vocabulary("vrrp_sync_group/track_interface:entry", &["<IFNAME>"], 1, GROUP_WEIGHT),
    vocabulary("vrrp_sync_group/track_script:entry", &["<SCRIPT_NAME>"], 1, GROUP_WEIGHT),
    vocabulary("vrrp_sync_group/track_file:entry", &["<FILE_NAME>"], 1, GROUP_WEIGHT),
    vocabulary("vrrp_sync_group/track_process:entry", &["<PROCESS_NAME>"], 1, GROUP_WEIGHT),
    vocabulary("vrrp_sync_group/track_bfd:entry", &["<BFD_NAME>"], 1, GROUP_WEIGHT),
];

/// Any `track_*` list that does nothing yet.
pub(super) static TRACK: Vocabulary = vocabulary("track list", &[], 1, WEIGHT_253);

/// `use_vmac`.
pub(super) static USE_VMAC: Vocabulary = vocabulary(
    "vrrp_instance/use_vmac:option",
    &["<MAC>"],
    2,
    &[("name", Text), ("netlink_notify_msg", Nothing), ("group", Text)],
);

/// `use_ipvlan`.
pub(super) static USE_IPVLAN: Vocabulary = vocabulary(
    "vrrp_instance/use_ipvlan:option",
    &["<IPADDR>[/<PREFIX>]"],
    2,
    &[("name", Text), ("bridge", Nothing), ("private", Nothing), ("vepa", Nothing), ("group", Text)],
);

/// `lb_kind TUN`.
pub(super) static LB_KIND: Vocabulary = vocabulary(
    "virtual_server/lb_kind:option",
    &[],
    1,
    &[
        ("type", Text),
        ("port", Number(1, 65_535)),
        ("nocsum", Nothing),
        ("csum", Nothing),
        ("remcsum", Nothing),
    ],
);

/// `lvs_sync_daemon`.
pub(super) static SYNC_DAEMON: Vocabulary = vocabulary(
    "global_defs/lvs_sync_daemon:option",
    &[],
    3,
    &[
        ("inst", Text),
        ("id", BYTE),
        ("maxlen", Number(1, 65_507)),
        ("port", Number(1, 65_535)),
        ("ttl", Number(1, 255)),
        ("group", Address),
    ],
);

/// `lvs_timeouts`.
pub(super) static LVS_TIMEOUTS: Vocabulary = vocabulary(
    "global_defs/lvs_timeouts:option",
    &[],
    0,
    &[("tcp", Number(0, 2_678_400)), ("tcpfin", Number(0, 2_678_400)), ("udp", Number(0, 2_678_400))],
);

/// `include_check`.
pub(super) static INCLUDE_CHECK: Vocabulary = Vocabulary {
    block: "global_defs/include_check:option",
    free: &[],
    most: 0,
    base: None,
    options: &[("read", Nothing), ("match", Nothing), ("wildcard_match", Nothing), ("brace_match", Nothing)],
    extra: &[
        "+read",
        "-read",
        "+match",
        "-match",
        "+wildcard_match",
        "-wildcard_match",
        "+brace_match",
        "-brace_match",
    ],
};

/// `regex_options`.
pub(super) static REGEX_OPTIONS: Vocabulary = vocabulary(
    "virtual_server/real_server/HTTP_GET/url/regex_options:option",
    &[],
    0,
    &[
        ("allow_empty_class", Nothing),
        ("alt_bsux", Nothing),
        ("auto_callout", Nothing),
        ("caseless", Nothing),
        ("dollar_endonly", Nothing),
        ("dotall", Nothing),
        ("dupnames", Nothing),
        ("extended", Nothing),
        ("firstline", Nothing),
        ("match_unset_backref", Nothing),
        ("multiline", Nothing),
        ("never_ucp", Nothing),
        ("never_utf", Nothing),
        ("no_auto_capture", Nothing),
        ("no_auto_possess", Nothing),
        ("no_dotstar_anchor", Nothing),
        ("no_start_optimize", Nothing),
        ("ucp", Nothing),
        ("ungreedy", Nothing),
        ("utf", Nothing),
        ("never_backslash_c", Nothing),
        ("alt_circumflex", Nothing),
        ("alt_verbnames", Nothing),
        ("use_offset_limit", Nothing),
    ],
);

/// `virtual_server_group`.
pub(super) static GROUP_ENTRY: Vocabulary = vocabulary(
    "virtual_server_group:entry",
    &["<IPADDR>", "<IPADDR>-<LAST>", "<IPADDR>-<IPADDR>", "<IPADDR>/<MASK>"],
    2,
    &[("fwmark", U32)],
);
