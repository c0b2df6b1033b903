//! Properties of the whole pipeline: whatever the bytes, there are diagnostics and no panic; what was
//! accepted reads back from its canonical text as the same model.

use config::names::OfflineNames;
use config::source::Memory;
use config::{LoadOptions, Loaded, diff, keywords, load, print};
use proptest::prelude::*;

fn read(text: impl Into<Vec<u8>>, allow_inactive: bool) -> Loaded {
    let source = Memory::new().with("/etc/keepalived.conf", text).with("/etc/other.conf", "priority 7\n}\n");
    let options = LoadOptions {
        config_id: "node1".into(),
        host_name: "node1".into(),
        allow_inactive,
        ..LoadOptions::default()
    };
    load(&source, &OfflineNames, "/etc/keepalived.conf", &options)
}

/// Every diagnostic has a code, a message and, where it has a place, a line.
fn sound(loaded: &Loaded) {
    for diagnostic in &loaded.diagnostics {
        assert!(!diagnostic.message.is_empty());
        assert!(
            diagnostic.place.as_ref().is_none_or(|place| place.line > 0 && place.column > 0),
            "{diagnostic:?}"
        );
    }
    let errors = loaded.count(config::diagnostic::Severity::Error);
    assert_eq!(loaded.model.is_none(), errors > 0);
    let _ = config::diagnostic::human(&loaded.diagnostics);
}

/// Words that a configuration may hold, wherever they fall.
fn token() -> impl Strategy<Value = String> {
    let names: Vec<String> = keywords().iter().map(|keyword| keyword.name.to_owned()).collect();
    prop_oneof![
        4 => proptest::sample::select(names),
        3 => proptest::sample::select(vec!["{", "}", "\n", "\n", "\"", "'", "\\", "#", "!", "$", "~SEQ(X,3) ",
            "~LST({A,B}, {1,2}) ", "$X", "${A}", "$A=x\\\n", "@node1 ", "@^node1 ", "include other.conf\n",
            "include *\n", "\\x41", "\t", "\0", "é"]).prop_map(str::to_owned),
        2 => proptest::sample::select(vec!["192.0.2.1", "2001:db8::1/64", "192.0.2.1-9", "eth0", "A", "MASTER",
            "fwmark", "group", "TCP", "rr", "NAT", "PASS", "weight", "reverse", "\"/bin/x y\""])
            .prop_map(str::to_owned),
        1 => any::<i32>().prop_map(|number| number.to_string()),
        1 => "[0-9]{0,3}\\.[0-9]{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_diagnostics_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        sound(&read(bytes, false));
    }

    #[test]
    fn any_words_give_diagnostics_and_no_panic(
        words in proptest::collection::vec(token(), 0..120),
        allow in any::<bool>(),
    ) {
        sound(&read(words.join(" "), allow));
    }

    #[test]
    fn what_is_accepted_reads_back_as_the_same_model(text in configuration()) {
        let loaded = read(text.clone(), false);
        prop_assert!(loaded.model.is_some(), "{text}\n{}", config::diagnostic::human(&loaded.diagnostics));
        let model = loaded.model.unwrap_or_default();
        let canonical = print(&model);
        let again = read(canonical.clone(), false);
        prop_assert_eq!(again.model.as_ref(), Some(&model), "{}", canonical);
        prop_assert_eq!(diff(&model, &model), []);
        prop_assert_eq!(print(&again.model.unwrap_or_default()), canonical);
    }
}

/// A line that may be absent.
fn maybe(line: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), line.prop_map(|line| line + "\n")].boxed()
}

fn number(keyword: &'static str, range: std::ops::RangeInclusive<u32>) -> BoxedStrategy<String> {
    maybe(range.prop_map(move |number| format!("{keyword} {number}")))
}

fn seconds(keyword: &'static str, range: std::ops::RangeInclusive<u32>) -> BoxedStrategy<String> {
    maybe(range.prop_map(move |millis| format!("{keyword} {}.{:03}", millis / 1_000, millis % 1_000)))
}

fn flag(keyword: &'static str) -> BoxedStrategy<String> {
    maybe(Just(keyword.to_owned()))
}

fn boolean(keyword: &'static str) -> BoxedStrategy<String> {
    maybe(any::<bool>().prop_map(move |on| format!("{keyword} {on}")))
}

/// A command whose arguments hold every kind of character.
fn command(keyword: &'static str) -> BoxedStrategy<String> {
    let argument = "[a-z0-9 #!$éü{}@*;&|-]{0,8}";
    maybe(proptest::collection::vec(argument, 0..3).prop_map(move |arguments| {
        let arguments: Vec<String> =
            arguments.iter().map(|a| format!("'{}'", a.replace('$', "\\x24"))).collect();
        format!("{keyword} \"/opt/x {}\" alice", arguments.join(" "))
    }))
}

/// Signed adverts; keys as bytes and as text.
fn hmac() -> BoxedStrategy<String> {
    let mode = proptest::sample::select(vec!["enforce", "permissive", "receive-only"]);
    let replay = proptest::sample::select(vec!["time", "monotonic"]);
    let key = proptest::collection::vec(any::<u8>(), 32..=64);
    maybe((mode, replay, key, 1..=254_u32, 1..=300_u32).prop_map(|(mode, replay, key, id, window)| {
        let digits: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
        format!(
            "auth_hmac {{\nkey {id} hex:{digits}\nkey 255 an-ascii-key-of-thirty-two-bytes\nactive_key {id}\n\
             mode {mode}\nanti_replay {replay}\ntime_window {window}\n}}"
        )
    }))
}

fn instance(index: usize) -> BoxedStrategy<String> {
    let first = (
        boolean("lower_prio_no_advert"),
        boolean("higher_prio_send_advert"),
        boolean("skip_check_adv_addr"),
        number("priority", 1..=255),
        prop_oneof![
            Just(String::new()),
            Just("state MASTER\n".to_owned()),
            Just("state BACKUP\n".to_owned())
        ],
        prop_oneof![Just(String::new()), Just("version 2\n".to_owned()), Just("version 3\n".to_owned())],
        seconds("advert_int", 10..=255_000),
        seconds("preempt_delay", 0..=1_000_000),
        flag("nopreempt"),
        flag("dont_track_primary"),
        flag("check_unicast_src"),
        command("notify_master"),
    );
    let second = (
        number("garp_master_delay", 0..=4294),
        number("garp_master_repeat", 0..=100),
        number("garp_master_refresh", 0..=100_000),
        number("garp_lower_prio_delay", 0..=4294),
        number("garp_lower_prio_repeat", 0..=1000),
        number("down_timer_adverts", 1..=100),
        command("notify"),
        maybe(Just("mcast_src_ip 192.0.2.77".to_owned())),
        maybe(Just("unicast_peer {\n198.51.100.1\n198.51.100.2\n}".to_owned())),
        maybe(
            (-254..=254_i32)
                .prop_map(|weight| format!("track_interface {{\neth9 weight {weight} reverse\n}}")),
        ),
        maybe((0..=2_u32, -254..=254_i32).prop_map(|(weights, weight)| {
            let of_file = if weights > 0 { format!(" weight {weight} reverse") } else { String::new() };
            format!("track_script {{\nweb weight -5 reverse\n}}\ntrack_file {{\nload{of_file}\n}}")
        })),
        maybe(
            "[a-zA-Z0-9#!]{1,8}"
                .prop_map(|pass| format!("authentication {{\nauth_type AH\nauth_pass \"{pass}\"\n}}")),
        ),
    );
    let third = (
        prop_oneof![
            Just(String::new()),
            Just("old_unicast_checksum\n".to_owned()),
            Just("old_unicast_checksum never\n".to_owned()),
            Just("v3_checksum_as_v2\n".to_owned())
        ],
        maybe((1..=254_u32).prop_map(|priority| format!("timer_expired_backup {priority}"))),
        boolean("owner_ignore_adverts"),
        hmac(),
    );
    (first, second, third)
        .prop_map(move |(first, second, (y, z, ignore, hmac))| {
            let (a, b, c, d, e, f, g, h, i, j, k, l) = first;
            let (m, n, o, p, q, r, s, t, u, v, w, x) = second;
            let body = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x].concat();
            let body = [body, y, z, ignore, hmac].concat();
            let vrid = index + 1;
            format!(
                "vrrp_instance V{index} {{\ninterface eth0\nvirtual_router_id {vrid}\n{body}virtual_ipaddress {{\n\
                 192.0.2.{index}/24 dev eth{index} label x{index} brd +\n}}\nvirtual_routes {{\n\
                 default via 192.0.2.9 src 192.0.2.{index} table {vrid} onlink\nthrow 198.51.100.0/24\n\
                 2001:db8::/32 dev eth{index} metric {vrid} no_track\n}}\n}}\n"
            )
        })
        .boxed()
}

fn service(index: usize) -> BoxedStrategy<String> {
    let head = (
        proptest::sample::select(vec!["TCP", "UDP", "SCTP"]),
        proptest::sample::select(vec!["rr", "wlc", "sh", "mh"]),
        proptest::sample::select(vec![
            "NAT",
            "DR",
            "TUN",
            "TUN type gue port 6080 remcsum",
            "TUN type gre csum",
            "TUN type ipip nocsum",
        ]),
        number("quorum", 1..=20),
        number("hysteresis", 0..=20),
        number("persistence_timeout", 1..=2_678_400),
        number("persistence_granularity", 1..=32),
        seconds("delay_loop", 1..=100_000),
        flag("alpha"),
        maybe(
            proptest::sample::select(vec![
                "omega",
                "sh-port",
                "flag-1\nflag-3",
                "persistence_engine sip",
                "ops",
            ])
            .prop_map(str::to_owned),
        ),
        command("quorum_up"),
        maybe(Just("sorry_server 203.0.113.200 99\nsorry_server_inhibit".to_owned())),
    );
    let tail = (
        number("weight", 1..=1000),
        number("retry", 1..=10),
        seconds("connect_timeout", 1..=10_000),
        seconds("warmup", 0..=10_000),
        boolean("inhibit_on_failure"),
        maybe(Just("TCP_CHECK {\nretry 0\nbindto 192.0.2.5\n}".to_owned())),
        maybe(Just(
            "HTTP_GET {\nurl {\npath \"/a b#c\"\nstatus_code 200 301-303\n}\nhttp_protocol 1.1\n}".to_owned(),
        )),
        maybe(Just("MISC_CHECK {\nmisc_path \"/opt/check 'a b'\" bob\nmisc_dynamic\n}".to_owned())),
        number("uthreshold", 0..=1000),
        command("notify_down"),
        proptest::sample::select(vec!["80", "8080", ""]),
    );
    (head, tail)
        .prop_map(move |(head, tail)| {
            let (protocol, scheduler, kind, a, b, c, d, e, f, g, h, i) = head;
            let (j, k, l, m, n, o, p, q, r, s, port) = tail;
            let outer = [a, b, c, d, e, f, g, h, i].concat();
            let inner = [j, k, l, m, n, o, p, q, r, s].concat();
            format!(
                "virtual_server 192.0.2.{index} 80 {{\nprotocol {protocol}\nlb_algo {scheduler}\nlb_kind {kind}\n\
                 {outer}real_server 203.0.113.{index} {port} {{\n{inner}}}\n}}\n"
            )
        })
        .boxed()
}

/// Settings of the kernel's table.
const TABLE: &str = "lvs_flush\nlvs_timeouts udp 9\nlvs_sync_daemon eth0 inst V2 ttl 4\n\
    lvs_netlink_cmd_rcv_bufs 65536\nlvs_netlink_cmd_rcv_bufs_force\nnftables_ipvs marks\nnftables_ipvs_priority -7\n\
    nftables_ipvs_start_fwmark 77\nnftables_counters\nvrrp_netlink_cmd_rcv_bufs 9\nvrrp_netlink_monitor_rcv_bufs_force\n\
    process_monitor_rcv_bufs 8\nvrrp_rx_bufs_policy MTU\nvrrp_rx_bufs_multiplier 4\ndisable_local_igmp\n\
    vip_restore upstream\n";

/// Process keywords that stand in `global_defs`.
const PROCESSES: &str = "process_names\nprocess_name top\nvrrp_process_name v\nvrrp_priority -5\nvrrp_no_swap\n\
    max_auto_priority 40\nmin_auto_priority_delay 70\nvrrp_rt_priority 7\nvrrp_rlimit_rttime 1\n\
    vrrp_cpu_affinity 3 1 3\nchecker_priority 4\nchecker_cpu_affinity 0\n\
    bfd_process_name b\nbfd_priority 3\nbfd_no_swap\nbfd_rt_priority 8\nbfd_cpu_affinity 2\nbfd_rlimit_rttime 9\n\
    startup_script \"/opt/a 'b c'\" alice\nstartup_script_timeout 4\nshutdown_script /opt/b\numask IRWXG|IRWXO\n\
    use_symlink_paths\nset_supplementary_groups\nreload_file\nreload_time_file /run/w\nreload_repeat\n\
    reload_check_config /run/l\nstate_dump_file /run/s/\nstats_dump_file st\njson_dump_file j.x\n    config_save_dir /run/c\njson_version 2\n";

fn configuration() -> impl Strategy<Value = String> {
    let globals = (
        seconds("vrrp_startup_delay", 1..=100_000),
        number("vrrp_garp_master_repeat", 1..=50),
        number("vrrp_down_timer_adverts", 1..=100),
        flag("vrrp_min_garp"),
        prop_oneof![
            Just(String::new()),
            Just("seccomp_unknown exit\ncontrol_group adm\nstatus_group 7\n".to_owned()),
            Just(PROCESSES.to_owned()),
            Just(TABLE.to_owned()),
        ],
        maybe("[ -!#%-~]{1,20}".prop_map(|name| format!("router_id \"{}\"", name.replace('"', "'")))),
    );
    (globals, instance(1), instance(2), service(11), service(12)).prop_map(
        |((a, b, c, d, e, f), one, two, three, four)| {
            let script = "vrrp_script web {\nscript \"/opt/web 'x y'\" carol\ninterval 0.5\nweight 7\n}\n\
                 track_file load {\nfile \"/run/a load\"\nweight -3 reverse\ninit_file 5 overwrite\n}\n";
            let group = "vrrp_sync_group VG {\ngroup { V1 V2 }\ntrack_interface { eth5 weight 9 }\n}\n";
            format!("global_defs {{\n{a}{b}{c}{d}{e}{f}}}\n{script}{group}{one}{two}{three}{four}")
        },
    )
}

#[test]
fn groups_and_prefixes_do_not_multiply_without_bound() {
    let codes =
        |loaded: Loaded| -> Vec<&'static str> { loaded.diagnostics.iter().map(|d| d.code.0).collect() };
    let group = format!("virtual_server_group g {{\n{}}}\n", "2001:db8::/112 80\n".repeat(10_000));
    assert_eq!(codes(read(group, false)), ["W0305", "E0203"]);
    let huge = read("virtual_server_group g {\n8000::/1 80\n}\n", false);
    assert_eq!(codes(huge), ["W0305", "E0203"]);
    let service = "virtual_server group g {\nprotocol TCP\nlb_algo rr\nlb_kind TUN\nreal_server 203.0.113.1 80 { }\n}\n";
    let many = format!("virtual_server_group g {{\n2001:db8::/112 80\n}}\n{}", service.repeat(1_000));
    assert!(read(many, false).model.is_none());
}

#[test]
fn deep_nesting_is_refused_with_one_message() {
    let loaded = read("a {\n".repeat(100_000), false);
    assert!(loaded.diagnostics.iter().any(|diagnostic| diagnostic.code.0 == "E0108"));
}

#[test]
fn ten_thousand_errors_are_counted_and_not_all_kept() {
    let loaded = read("nonsense\n".repeat(10_000), false);
    assert_eq!(loaded.diagnostics.len(), 501);
    assert!(loaded.diagnostics[500].message.contains("9500 more"));
}
