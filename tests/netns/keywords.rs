//! Keywords that no other suite has a reason to use, several at once: each is seen on the wire, in the kernel's tables,
//! on processes or on files.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use tests::lab::capture::{Capture, announcements, bursts};
use tests::lab::config_text::{VrrpInstance, http_service};
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, process, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn globals(lines: &str) -> String {
    format!("global_defs {{\n    router_id lab\n{lines}\n}}\n")
}

fn write(path: &str, text: &str) -> Result<(), Failure> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/run"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|cause| Failure::instrument(path, cause))
}

/// Starts the only director of a segment and waits until it holds its address.
fn master(lab: &Lab, d1: &Host, config: &str) -> Result<Director, Failure> {
    let director = Director::start(lab, d1, Subject::Ours, config, &[])?;
    wait_until("d1 holds the address", SOON, || d1.has(front4(50)))
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    Ok(director)
}

/// Field of `/proc/PID/stat`, counted as in proc(5).
fn stat_field(pid: i32, field: usize) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field - 3)?.parse().ok()
}

fn realtime_limit(pid: i32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    limits.lines().find(|line| line.starts_with("Max realtime timeout")).unwrap_or_default().to_owned()
}

const PROCESSES: &str = "vrrp_process_name elector\nlvs_process_name prober\nvrrp_priority -5\n\
    checker_rt_priority 10\nchecker_cpu_affinity 0\nchecker_rlimit_rtime 400000\n\
    bfd_process_name sentry\nbfd_priority 4\nbfd_rt_priority 11\nbfd_no_swap\nbfd_cpu_affinity 0 1\n\
    bfd_rlimit_rtime 8000\n\
    state_dump_file /run/lab/dumps/state.data\nstats_dump_file /run/lab/dumps/numbers.stats\n\
    json_dump_file /run/lab/dumps/all.json\ndata_use_instance";

/// What a state file says of a process for BFD.
fn has_bfd_lines(path: &str, limit: u32) -> Result<(), Failure> {
    let text = fs::read_to_string(path).unwrap_or_default();
    for line in [
        " BFD process name = sentry",
        " BFD process priority = 4",
        " BFD don't swap = true",
        " BFD realtime priority = 11",
        " BFD CPU Affinity = 0 1",
        &format!(" BFD realtime limit = {limit}"),
    ] {
        require(text.lines().any(|found| found == line), || format!("{line} isn't in\n{text}"))?;
    }
    Ok(())
}

#[test]
fn processes_and_state_files_have_the_names_that_they_are_given() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        write("/run/lab/dumps/here", "")?;
        let config = "instance blue\nnamespace_with_ipsets\n".to_owned()
            + &globals(PROCESSES)
            + &VrrpInstance::new(3, "0.2", 200, front4(50)).text()
            + &http_service("10.77.0.50", &["10.77.0.1"]);
        let director = master(lab, d1, &config)?;
        let vrrpd = director.wait_daemon("elector")?;
        let checkd = director.wait_daemon("prober")?;
        require(stat_field(vrrpd, 19) == Some(-5), || format!("vrrpd: nice {:?}", stat_field(vrrpd, 19)))?;
        let scheduling = (stat_field(checkd, 41), stat_field(checkd, 40));
        require(scheduling == (Some(2), Some(10)), || format!("checkd is scheduled {scheduling:?}"))?;
        let allowed = process::status_field(checkd, "Cpus_allowed_list").unwrap_or_default();
        require(allowed == "0", || format!("checkd may run on {allowed}"))?;
        require(realtime_limit(checkd).contains(" 400000 "), || realtime_limit(checkd))?;
        for number in ["-10", "-12", "-36"] {
            d1.run("/bin/kill", &[number, &director.pid().to_string()])?;
        }
        let names = ["state.blue.data", "state_check.blue.data", "numbers.blue.stats", "all.blue.json"];
        let all = || names.iter().all(|name| Path::new("/run/lab/dumps").join(name).exists());
        wait_until("the files have their names", SOON, all).map(|_| ()).map_err(|failure| {
            let listed = d1.run("ls", &["-R", "/run/lab"]).unwrap_or_default();
            Failure::new(format!("{failure}\n{listed}"))
        })?;
        has_bfd_lines("/run/lab/dumps/state.blue.data", 8_000)?;
        // The other spellings, by a reload.
        let other = config
            .replace("lvs_process_name prober", "checker_process_name tester")
            .replace("checker_rlimit_rtime 400000", "checker_rlimit_rttime 300000")
            .replace("bfd_rlimit_rtime 8000", "bfd_rlimit_rttime 9000")
            .replace("vrrp_priority -5", "vrrp_rt_priority 9\nvrrp_rlimit_rtime 200000");
        director.write_config(d1, &other)?;
        director.ctl(&["reload"])?;
        let checkd = director.wait_daemon("tester")?;
        require(realtime_limit(checkd).contains(" 300000 "), || realtime_limit(checkd))?;
        let vrrpd = director.wait_successor("elector", vrrpd)?;
        require(realtime_limit(vrrpd).contains(" 200000 "), || realtime_limit(vrrpd))?;
        d1.run("/bin/kill", &["-10", &director.pid().to_string()])?;
        wait_until("the file shows the new limit", SOON, || {
            has_bfd_lines("/run/lab/dumps/state.blue.data", 9_000).is_ok()
        })?;
        // These settings are of a process that isn't there, which is nothing to warn of without sessions.
        require(director.daemon("sentry").is_none(), || "a fourth daemon runs".to_owned())?;
        require(director.logged("no BFD process") == 0, || director.log())
    });
}

/// A name service that gives no answer, for a while: who asks it waits.
fn slow_names(host: &Host) -> Result<UdpSocket, Failure> {
    let silent = host.enter(|| UdpSocket::bind("127.0.0.1:53"))?;
    let silent = silent.map_err(|cause| Failure::instrument("a silent name service", cause))?;
    let (file, none) = ("/run/lab/resolv.conf", None::<&str>);
    write(file, "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")?;
    mount(Some(file), "/etc/resolv.conf", none, MsFlags::MS_BIND, none)
        .map_err(|cause| Failure::instrument("/etc/resolv.conf", cause))?;
    Ok(silent)
}

/// A file that is there while a configuration is read, and a time of day that comes again tomorrow.
#[test]
fn reloads_are_shown_by_a_file_and_daily_ones_stay_asked_for() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let _silent = slow_names(d1)?;
        let config = globals("reload_file /run/lab/reading\nreload_time_file /run/lab/when\nreload_repeat")
            + &VrrpInstance::new(3, "0.2", 200, front4(50)).text();
        let director = master(lab, d1, &config)?;
        // Seen on any machine: the reader waits for a name.
        let next = config.replace("10.77.0.50", "10.77.0.51").replacen(
            "router_id lab",
            "router_id lab\n    notification_email {\n    a@example.org\n    }\n    smtp_server mail.example.org",
            1,
        );
        director.write_config(d1, &next)?;
        director.signal(Signal::SIGHUP);
        let reading = Path::new("/run/lab/reading");
        wait_until("the file is there", SOON, || reading.exists())?;
        wait_until("the new address is there", SOON, || d1.has(front4(51)))?;
        wait_until("the file is gone again", SOON, || !reading.exists())?;
        director.write_config(d1, &config)?;
        let when = d1.run("/bin/date", &["-u", "-d", "5 seconds", "+%H:%M:%SZ"])?;
        write("/run/lab/when", &when)?;
        wait_until("the old address is back at that time", SOON, || d1.has(front4(50)))?;
        require(Path::new("/run/lab/when").exists(), || "tomorrow is forgotten".to_owned())
    });
}

/// Lines of `virtual_routes`, and what the kernel says of each.
const ROUTES: &[(&str, &str)] = &[
    ("inet to 198.51.100.0/24 gw 10.77.0.100 oif eth0", "198.51.100.0/24 via 10.77.0.100 dev eth0"),
    ("inet6 2001:db8:9::/48 dev eth0 expires 500", "2001:db8:9::/48 dev eth0"),
    ("198.51.101.0/24 dev eth0 dsfield 0x10 priority 8", "198.51.101.0/24 tos 0x10 dev eth0"),
    ("198.51.102.0/24 dev eth0 table blue", "198.51.102.0/24 dev eth0"),
    ("198.51.103.0/24 via 10.77.0.100 or 10.77.0.101", "198.51.103.0/24"),
    ("198.51.104.0/24 nexthop via 10.77.0.100 weight 2 nexthop via 10.77.0.101 dev eth0", "198.51.104.0/24"),
    ("198.51.105.0/24 dev eth0 rtt 300ms rttvar 200ms", "rtt 300ms rttvar 200ms"),
    ("198.51.106.0/24 dev eth0 reordering 9 window 20000", "window 20000 reordering 9"),
    ("198.51.107.0/24 dev eth0 cwnd lock 7 ssthresh 11", "cwnd lock 7"),
    ("198.51.108.0/24 dev eth0 initrwnd 13 congctl lock reno", "initrwnd 13 congctl lock reno"),
    ("198.51.109.0/24 dev eth0 ttl-propagate enabled fastopen_no_cookie 1", "fastopen_no_cookie 1"),
    ("add 198.51.110.0/24 dev eth0", "198.51.110.0/24 dev eth0"),
    ("prepend 198.51.111.0/24 dev eth0 metric 3", "198.51.111.0/24 dev eth0"),
    ("append 198.51.112.0/24 dev eth0 metric 4", "198.51.112.0/24 dev eth0"),
    ("198.51.113.0/24 via 10.77.0.100 as to 10.77.0.101 dev eth0", "198.51.113.0/24 via 10.77.0.100"),
    ("2001:db8:a::/48 from 2001:db8:b::/48 dev eth0", "2001:db8:a::/48 from 2001:db8:b::/48 dev eth0"),
];

#[test]
fn every_option_of_a_route_reaches_the_kernel() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        write("/run/lab/etc/rt_tables", "77 blue\n")?;
        write("/run/lab/usr/rt_scopes", "")?;
        let lines: String = ROUTES.iter().map(|(line, _)| format!("        {line}\n")).collect();
        let routes = format!("virtual_routes {{\n{lines}    }}");
        let config =
            globals("iproute_etc_dir /run/lab/etc\niproute_usr_dir /run/lab/usr\ndefault_interface eth0")
                + "static_ipaddress {\n    203.0.113.5/24\n}\n"
                + &VrrpInstance::new(3, "0.2", 200, front4(50)).with(&routes).text();
        let director = master(lab, d1, &config)?;
        let has = |list: &str, part: &str| list.lines().any(|line| line.contains(part));
        let listed = || {
            let four = d1.run("ip", &["-4", "-o", "-N", "route", "show", "table", "all"]).unwrap_or_default();
            let six = d1.run("ip", &["-6", "-o", "-N", "route", "show", "table", "all"]).unwrap_or_default();
            four + &six
        };
        let last = "198.51.112.0/24";
        wait_until("the last route is there", SOON, || has(&listed(), last))
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
        let all = listed();
        let missing: Vec<_> = ROUTES.iter().filter(|(_, part)| !has(&all, part)).collect();
        require(missing.is_empty(), || format!("{missing:#?}\nof\n{all}\n{}", director.log()))?;
        let blue = d1.run("ip", &["route", "show", "table", "77"])?;
        require(has(&blue, "198.51.102.0/24"), || format!("table 77: {blue}"))?;
        let weighted = d1.run("ip", &["route", "show", "198.51.104.0/24"])?;
        require(weighted.contains("weight 2") && weighted.contains("10.77.0.101"), || weighted.clone())?;
        let timed = d1.run("ip", &["-6", "route", "show", "2001:db8:9::/48"])?;
        require(timed.contains("expires "), || timed.clone())?;
        let addresses = d1.run("ip", &["addr", "show", "dev", "eth0"])?;
        require(addresses.contains("203.0.113.5/24"), || addresses.clone())
    });
}

/// Announcements of one address of each family with these keywords, and where they stand.
fn announced(lab: &Lab, name: &str, before: &str, extra: &str) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let capture = Capture::start(lab, lan.switch(), name)?;
    let instance = VrrpInstance::new(3, "0.2", 200, front4(50))
        .with("garp_master_repeat 3\ngarp_master_delay 0")
        .with("virtual_ipaddress_excluded {\n        fd77::50/64 dev eth0\n    }")
        .with(extra);
    let director = master(lab, d1, &(before.to_owned() + &instance.text()))?;
    let both = |file: &Path| Ok((announcements(file, "10.77.0.50")?, announcements(file, "fd77::50")?));
    capture.wait_until("three of each family", |file| {
        both(file).map(|(arp, neighbour)| arp.len() >= 3 && neighbour.len() >= 3)
    })?;
    // Another one would follow as those before.
    pause(Duration::from_secs(1));
    director.stop()?;
    both(&capture.stop()?)
}

fn least_gap(times: &[f64]) -> f64 {
    times.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::MAX, f64::min)
}

fn keep_their_distance((arp, neighbour): (Vec<f64>, Vec<f64>)) -> Result<(), Failure> {
    for (what, times) in [("gratuitous ARPs", arp), ("neighbour advertisements", neighbour)] {
        require(times.len() == 3, || format!("{} {what}: {times:?}", times.len()))?;
        require(least_gap(&times) > 0.25, || format!("{what} follow too fast: {times:?}"))?;
    }
    Ok(())
}

#[test]
fn announcements_of_both_families_keep_the_distance_of_all_interfaces() {
    sandboxed(60, |lab| {
        keep_their_distance(announced(
            lab,
            "all",
            &globals("vrrp_garp_interval 0.5\nvrrp_gna_interval 0.5"),
            "",
        )?)
    });
}

#[test]
fn announcements_of_both_families_keep_the_distance_of_a_group() {
    sandboxed(60, |lab| {
        let group = "garp_group {\n    garp_interval 0.5\n    gna_interval 0.5\n    interfaces {\n        eth0\n    }\n}\n";
        keep_their_distance(announced(lab, "group", group, "")?)
    });
}

/// One announcement where nothing else is said; an instance that says more is announced as it says.
#[test]
fn vrrp_min_garp_leaves_one_announcement_but_to_who_asks_for_more() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let capture = Capture::start(lab, lan.switch(), "least")?;
        let garp =
            "garp_master_delay 1\ngarp_master_repeat 3\ngarp_master_refresh 2\ngarp_master_refresh_repeat 2";
        let mut other = VrrpInstance::new(3, "0.2", 200, front4(51)).with(garp);
        (other.name, other.vrid) = ("VI_2".to_owned(), 52);
        let one = VrrpInstance::new(3, "0.2", 200, front4(50));
        let director = master(lab, d1, &(globals("vrrp_min_garp") + &one.text() + &other.text()))?;
        wait_until("d1 holds the other address", SOON, || d1.has(front4(51)))?;
        // Three at once, three after a second, two after two seconds more, and again.
        let of_other = |file: &Path| announcements(file, "10.77.0.51");
        capture.wait_until("four bursts and a fifth", |file| Ok(bursts(&of_other(file)?, 0.4).len() > 4))?;
        director.stop()?;
        let file = capture.stop()?;
        let (one, other) = (announcements(&file, "10.77.0.50")?, of_other(&file)?);
        require(one.len() == 1, || format!("announced at {one:?}"))?;
        let sizes = bursts(&other, 0.4);
        require(sizes.starts_with(&[3, 3, 2, 2]), || format!("{sizes:?} announced at {other:?}"))?;
        let gap = |from: usize, to: usize| other[to] - other[from];
        require(gap(2, 3) < gap(5, 6) - 0.4, || format!("announced at {other:?}"))
    });
}

/// A reload that changes nothing tells the state again, to the pipe alone.
#[test]
fn states_are_written_again_by_a_reload_where_that_is_asked_for() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let reader = Path::new("/run/lab/reader.sh");
        write("/run/lab/reader.sh", "#!/bin/sh\nexec cat $1 >/run/lab/told\n")?;
        fs::set_permissions(reader, fs::Permissions::from_mode(0o755))
            .map_err(|cause| Failure::instrument("the script behind the pipe", cause))?;
        let fifo =
            "script_user root\nvrrp_notify_fifo /run/lab/fifo\nvrrp_notify_fifo_script /run/lab/reader.sh\n";
        let config = |again: &str| {
            globals(&format!("{fifo}{again}")) + &VrrpInstance::new(3, "0.2", 200, front4(50)).text()
        };
        let director = master(lab, d1, &config(""))?;
        let masters = || {
            let told = fs::read_to_string("/run/lab/told").unwrap_or_default();
            told.lines().filter(|line| *line == "INSTANCE \"VI_1\" MASTER 200").count()
        };
        wait_until("the state is told", SOON, || masters() == 1)?;
        director.ctl(&["reload"])?;
        director.write_config(d1, &config("fifo_write_vrrp_states_on_reload"))?;
        director.ctl(&["reload"])?;
        wait_until("it is told again", SOON, || masters() == 2)?;
        director.ctl(&["reload"])?;
        wait_until("and again", SOON, || masters() == 3).map(|_| ())
    });
}

/// Polling finds nothing that the kernel doesn't tell; a source address that is lost is a fault.
#[test]
fn a_lost_source_address_and_a_lost_interface_are_faults() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let extra = "linkbeat_use_polling\nmcast_src_ip 10.77.0.9\ntrack_src_ip";
        let config = "linkbeat_use_polling\nlinkbeat_interfaces {\n    eth0\n}\n".to_owned()
            + &globals("dynamic_interfaces")
            + &VrrpInstance::new(3, "0.2", 200, front4(50)).with(extra).text();
        d1.ip("addr add 10.77.0.9/24 dev eth0\n")?;
        let director = master(lab, d1, &config)?;
        d1.ip("addr del 10.77.0.9/24 dev eth0\n")?;
        wait_until("the address goes with its source", SOON, || !d1.has(front4(50)))?;
        director.transitions_in("Fault")?;
        d1.ip("addr add 10.77.0.9/24 dev eth0\n")?;
        wait_until("it comes back with it", SOON, || d1.has(front4(50)))?;
        d1.ip("link set eth0 down\n")?;
        wait_until("it goes with the link", SOON, || !d1.has(front4(50)))?;
        d1.ip("link set eth0 up\n")?;
        wait_until("it comes back with it", SOON, || d1.has(front4(50))).map(|_| ())
    });
}

#[test]
fn receive_buffers_are_those_of_the_configuration() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let lines = "vrrp_netlink_cmd_rcv_bufs 3000000\nvrrp_netlink_cmd_rcv_bufs_force\n\
                     vrrp_netlink_monitor_rcv_bufs 100000\nvrrp_rx_bufs_policy ADVERT\nvrrp_rx_bufs_multiplier 50\n\
                     lvs_netlink_cmd_rcv_bufs 3000000\nlvs_netlink_cmd_rcv_bufs_force\n\
                     lvs_netlink_monitor_rcv_bufs 90000\nlvs_netlink_monitor_rcv_bufs_force";
        let other = VrrpInstance {
            name: "VI_2".to_owned(),
            vrid: 52,
            ..VrrpInstance::new(3, "0.2", 200, front4(52))
        };
        let first = VrrpInstance::new(3, "0.2", 200, front4(50)).with("kernel_rx_buf_size 30000\ndebug 3");
        let rest = first.text() + &other.text() + &http_service("10.77.0.50", &["10.77.0.1"]);
        let director = master(lab, d1, &(globals(lines) + &rest))?;
        let of = |daemon: &str| process::receive_buffers(director.wait_daemon(daemon)?);
        let sockets = of("vrrpd")?;
        // 30 000 of one instance and fifty adverts of 32 bytes of the other one; then what is forced, and what isn't.
        let expected = ["2 3 63200\n", "16 2 6000000\n", "16 2 200000\n"];
        require(expected.iter().all(|line| sockets.contains(line)), || sockets.clone())?;
        let forced = "16 2 6000000\n";
        wait_until("ipvsd has what is forced", SOON, || {
            of("ipvsd").is_ok_and(|found| found.contains(forced))
        })?;
        director.write_config(d1, &(globals("lvs_netlink_cmd_rcv_bufs 70000") + &rest))?;
        director.ctl(&["reload"])?;
        wait_until("one instance alone sizes the queue", SOON, || {
            of("vrrpd").is_ok_and(|sockets| sockets.contains("2 3 60000\n"))
        })?;
        let within = "16 2 140000\n";
        wait_until("ipvsd has another one", SOON, || of("ipvsd").is_ok_and(|found| found.contains(within)))
            .map_err(|failure| Failure::new(format!("{failure}: {:?}", of("ipvsd"))))
            .map(|_| ())
    });
}

#[test]
fn an_interface_that_comes_later_promotes_secondary_addresses_too() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        d1.sysctl("net.ipv4.conf.all.promote_secondaries", "0")?;
        d1.sysctl("net.ipv4.conf.default.promote_secondaries", "0")?;
        let mut later = VrrpInstance::new(3, "0.2", 200, front4(51)).with("promote_secondaries");
        (later.name, later.vrid) = ("VI_2".to_owned(), 52);
        let later = later.text().replace("eth0", "late0");
        let instance = VrrpInstance::new(3, "0.2", 200, front4(50));
        let _director = master(lab, d1, &(globals("") + &instance.text() + &later))?;
        let promotes = || {
            let file = "/proc/sys/net/ipv4/conf/late0/promote_secondaries";
            d1.run("cat", &[file]).is_ok_and(|text| text.trim() == "1")
        };
        for _ in 0..2 {
            d1.run("ip", &["link", "add", "late0", "type", "veth", "peer", "name", "late1"])?;
            d1.run("ip", &["link", "set", "late1", "up"])?;
            d1.run("ip", &["address", "add", "10.99.0.1/24", "dev", "late0"])?;
            d1.run("ip", &["link", "set", "late0", "up"])?;
            wait_until("the setting is made", SOON, promotes)?;
            d1.run("ip", &["link", "delete", "late0"])?;
        }
        Ok(())
    });
}

#[test]
fn settings_of_the_kernel_are_put_back_at_the_end() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let read = |file: &str| d1.run("cat", &[&format!("/proc/sys/net/ipv4/{file}")]);
        let both = || -> Result<(String, String), Failure> {
            Ok((read("conf/eth0/promote_secondaries")?, read("igmp_link_local_mcast_reports")?))
        };
        d1.sysctl("net.ipv4.conf.eth0.promote_secondaries", "0")?;
        let before = both()?;
        let instance = VrrpInstance::new(3, "0.2", 200, front4(50)).with("promote_secondaries");
        let director = master(lab, d1, &(globals("disable_local_igmp") + &instance.text()))?;
        let meanwhile = both()?;
        require((meanwhile.0.trim(), meanwhile.1.trim()) == ("1", "0"), || format!("{meanwhile:?}"))?;
        director.stop()?;
        let after = both()?;
        require(after == before, || format!("{after:?}, before: {before:?}"))
    });
}
