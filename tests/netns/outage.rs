//! What takes services down elsewhere: here it costs little or nothing. Default settings; the client asks a thousand
//! times a second.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::capture::{self, Capture, announcements};
use tests::lab::config_text::{VrrpInstance, global};
use tests::lab::failure::require;
use tests::lab::forged::{advert, flood};
use tests::lab::lan::front4;
use tests::lab::{
    Director, Echo, Failure, Host, Lab, Lan, Lateness, Probe, Subject, clock, pause, process, sandboxed,
    wait_until,
};

const ADDRESS: IpAddr = front4(50);
const ELECTED: Duration = Duration::from_secs(20);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Seconds without an advert of 0.2 s that no peer forgives; the capture itself may lose a frame in a flood.
const PATIENCE: f64 = 0.55;

fn config(priority: u8) -> String {
    global("lab") + &VrrpInstance::new(3, "0.2", priority, ADDRESS).text()
}

/// Of one that is Master, and shall stay it.
fn transitions(director: &Director) -> Result<u64, Failure> {
    director.transitions_in("Master")
}

/// A network with a client and one Master that answers.
fn alone(lab: &Lab) -> Result<(Lan, Director, Echo), Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
    let director = Director::start(lab, lan.host("d1")?, Subject::Ours, &config(200), &[])?;
    let echo = Echo::start(lan.host("d1")?)?;
    wait_until("d1 holds the address", ELECTED, || lan.host("d1").is_ok_and(|d1| d1.has(ADDRESS)))?;
    Ok((lan, director, echo))
}

#[test]
fn an_address_that_somebody_removes_is_put_back_without_a_change_of_state() {
    sandboxed(60, |lab| {
        let (lan, director, _echo) = alone(lab)?;
        let d1 = lan.host("d1")?;
        let before = transitions(&director)?;
        let probe = Probe::start(lan.host("client")?, ADDRESS, MILLISECOND)?;
        for _ in 0..10 {
            pause(Duration::from_millis(200));
            d1.ip("addr del 10.77.0.50/24 dev eth0\n")?;
            wait_until("the address is back", ELECTED, || d1.has(ADDRESS))?;
        }
        pause(Duration::from_millis(200));
        let report = probe.finish()?;
        // The median is the benchmark's business; a peer would have waited for 0.6 s.
        let silence = report.longest_silence.saturating_sub(report.own_lateness);
        require(silence < Duration::from_millis(600), || format!("{report:?}"))?;
        require(transitions(&director)? == before, || "the state has changed".to_owned())
    });
}

/// The hosts hear each other or not; their links stay up all the time.
fn connect(lan: &Lan, host: &str, connected: bool) -> Result<(), Failure> {
    let bridge = if connected { "master br0" } else { "nomaster" };
    lan.switch().ip(&format!("link set f-{host} {bridge}\n"))
}

#[test]
fn a_partition_that_heals_ten_times_leaves_the_client_with_the_true_master() {
    sandboxed(100, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
        let (client, d1, d2) = (lan.host("client")?, lan.host("d1")?, lan.host("d2")?);
        let _strong = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
        let _weak = Director::start(lab, d2, Subject::Ours, &config(100), &[])?;
        wait_until("d1 alone holds the address", ELECTED, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
        let hardware = |host: &Host| {
            let shown = host.run("ip", &["-o", "link", "show", "dev", "eth0"]).unwrap_or_default();
            shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).map(str::to_owned)
        };
        let d1_hardware = hardware(d1).unwrap_or_default();
        for round in 0..10 {
            connect(&lan, "d1", false)?;
            wait_until("d2 takes over", ELECTED, || d2.has(ADDRESS))?;
            client.run("ping", &["-c", "1", "-W", "1", "10.77.0.50"]).ok();
            connect(&lan, "d1", true)?;
            wait_until("d2 has yielded", ELECTED, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
            let known = || client.run("ip", &["neigh", "show", "10.77.0.50"]).unwrap_or_default();
            // The second burst of announcements would come after five seconds.
            wait_until("the client knows d1's hardware", Duration::from_secs(4), || {
                known().contains(&d1_hardware)
            })
            .map_err(|failure| Failure::new(format!("round {round}: {failure}: {}", known())))?;
        }
        Ok(())
    });
}

#[test]
fn a_parent_that_is_stopped_for_three_seconds_moves_nothing() {
    sandboxed(60, |lab| {
        let (lan, director, _echo) = alone(lab)?;
        let d2 = lan.host("d1")?;
        let before = transitions(&director)?;
        let probe = Probe::start(lan.host("client")?, ADDRESS, MILLISECOND)?;
        process::signal(director.pid(), Signal::SIGSTOP);
        pause(Duration::from_secs(3));
        process::signal(director.pid(), Signal::SIGCONT);
        pause(Duration::from_millis(500));
        let report = probe.finish()?;
        require(report.lost == 0, || format!("{report:?}"))?;
        require(transitions(&director)? == before && d2.has(ADDRESS), || "the state has changed".to_owned())
    });
}

/// Every process of a director is stopped for longer than its peer waits, then wakes up.
fn all_oversleep(lab: &Lab, sleeper: u8, other: u8) -> Result<(usize, usize), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let first = Director::start(lab, d1, Subject::Ours, &config(sleeper), &[])?;
    wait_until("d1 holds the address", ELECTED, || d1.has(ADDRESS))?;
    // It waits until nobody is heard, however strong it is.
    let waits = VrrpInstance::new(3, "0.2", other, ADDRESS).with("nopreempt").text();
    let _second = Director::start(lab, d2, Subject::Ours, &(global("lab") + &waits), &[])?;
    pause(Duration::from_secs(1));
    let mut pids: Vec<i32> = first.daemons().iter().map(|process| process.pid).collect();
    pids.push(first.pid());
    for pid in pids.iter().rev() {
        process::signal(*pid, Signal::SIGSTOP);
    }
    wait_until("d2 takes over", ELECTED, || d2.has(ADDRESS))?;
    pause(Duration::from_millis(500));
    let capture = Capture::start(lab, lan.switch(), "oversleep")?;
    let woke = clock::epoch();
    for pid in &pids {
        process::signal(*pid, Signal::SIGCONT);
    }
    let (winner, loser) = if sleeper > other { (d1, d2) } else { (d2, d1) };
    wait_until("one of them holds the address", ELECTED, || winner.has(ADDRESS) && !loser.has(ADDRESS))?;
    pause(Duration::from_millis(150));
    let file = capture.stop()?;
    let adverts = capture::adverts(&file)?;
    let own = adverts.iter().filter(|advert| advert.priority == sleeper && advert.at > woke);
    let own: Vec<f64> = own.map(|advert| advert.at).collect();
    // The next advert is due after 0.2 s.
    let first = own.first().copied().unwrap_or(woke);
    let early = |at: &&f64| **at > woke && **at < first + 0.15;
    let announced = announcements(&file, "10.77.0.50")?.iter().filter(early).count();
    Ok((own.iter().filter(early).count(), announced))
}

#[test]
fn a_weaker_node_that_overslept_yields_without_a_frame() {
    sandboxed(60, |lab| {
        let (adverts, _) = all_oversleep(lab, 100, 101)?;
        require(adverts == 0, || format!("{adverts} adverts"))
    });
}

#[test]
fn a_stronger_node_that_overslept_says_so_once() {
    sandboxed(60, |lab| {
        let (adverts, announced) = all_oversleep(lab, 200, 100)?;
        require((1..=2).contains(&adverts), || format!("{adverts} adverts"))?;
        // One for itself, and a burst at most for the conflict that its peer saw.
        require(announced <= 6, || format!("{announced} announcements"))
    });
}

/// What a Master sent while it was flooded.
struct Flooded {
    adverts: Vec<f64>,
    announced: usize,
    lateness: Duration,
}

fn under_flood(lab: &Lab, frame: &[u8], ttl: u32, count: u32) -> Result<Flooded, Failure> {
    let (lan, director, _echo) = alone(lab)?;
    // The second burst of announcements comes five seconds after the first.
    let before = transitions(&director)?;
    let lines = director.log().lines().count();
    let capture = Capture::start(lab, lan.switch(), "flood")?;
    let lateness = Lateness::watch();
    flood(lan.host("client")?, frame, ttl, count)?;
    let lateness = lateness.finish()?;
    let file = capture.stop()?;
    require(transitions(&director)? == before, || "the state has changed".to_owned())?;
    let more = director.log().lines().count() - lines;
    require(more < 20, || format!("{more} log lines"))?;
    let announced = announcements(&file, "10.77.0.50")?.len();
    Ok(Flooded { adverts: capture::times_of(&file, "10.77.0.1")?, announced, lateness })
}

/// No peer has lost patience, as far as this machine let anybody run.
fn without_a_pause(times: &[f64], lateness: Duration) -> Result<(), Failure> {
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    require(times.len() >= 2, || format!("only {} adverts", times.len()))?;
    require(gap < PATIENCE + lateness.as_secs_f64(), || {
        format!("adverts paused for {gap:.3} s, the laboratory was late by {lateness:?}")
    })
}

#[test]
fn ten_thousand_refused_packets_a_second_miss_no_advert() {
    sandboxed(60, |lab| {
        let mut wrong = advert(250);
        wrong[0] = 0x21;
        let flooded = under_flood(lab, &wrong, 255, 10_000)?;
        without_a_pause(&flooded.adverts, flooded.lateness)?;
        require(flooded.announced == 0, || format!("{} announcements", flooded.announced))
    });
}

/// Wrong version, wrong checksum, from beyond the link: one of them every third of a second.
#[test]
fn a_bad_packet_every_now_and_then_misses_no_advert() {
    sandboxed(60, |lab| {
        let (lan, director, _echo) = alone(lab)?;
        let before = transitions(&director)?;
        let capture = Capture::start(lab, lan.switch(), "now-and-then")?;
        let lateness = Lateness::watch();
        let (mut version, mut sum) = (advert(250), advert(250));
        version[0] = 0x21;
        sum[6] ^= 1;
        for _ in 0..6 {
            for (frame, ttl) in [(&version, 255), (&sum, 255), (&advert(250), 254)] {
                flood(lan.host("client")?, frame, ttl, 1)?;
                pause(Duration::from_millis(320));
            }
        }
        let lateness = lateness.finish()?;
        let times = capture::times_of(&capture.stop()?, "10.77.0.1")?;
        without_a_pause(&times, lateness)?;
        require(transitions(&director)? == before, || "the state has changed".to_owned())
    });
}

/// Both are Master of what they speak; ours goes on as if it were alone.
#[test]
fn a_neighbour_of_another_version_with_our_vrid_misses_no_advert_of_ours() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let director = Director::start(lab, d1, Subject::Ours, &config(100), &[])?;
        wait_until("d1 holds the address", ELECTED, || d1.has(ADDRESS))?;
        let before = transitions(&director)?;
        let lines = director.log().lines().count();
        let capture = Capture::start(lab, lan.switch(), "other-version")?;
        let lateness = Lateness::watch();
        let other = global("lab") + &VrrpInstance::new(2, "1", 200, front4(60)).text();
        let _neighbour = Director::start(lab, d2, Subject::C, &other, &[])?;
        wait_until("the neighbour is Master, too", ELECTED, || d2.has(front4(60)))?;
        pause(Duration::from_secs(4));
        let lateness = lateness.finish()?;
        let times = capture::times_of(&capture.stop()?, "10.77.0.1")?;
        without_a_pause(&times, lateness)?;
        require(transitions(&director)? == before && d1.has(ADDRESS), || "the state has changed".to_owned())?;
        let more = director.log().lines().count() - lines;
        require(more < 20, || format!("{more} log lines"))
    });
}

#[test]
fn packets_from_beyond_the_link_move_nothing() {
    sandboxed(60, |lab| {
        let flooded = under_flood(lab, &advert(250), 254, 1_000)?;
        without_a_pause(&flooded.adverts, flooded.lateness)?;
        require(flooded.announced == 0, || format!("{} announcements", flooded.announced))
    });
}

#[test]
fn ten_thousand_lower_priorities_a_second_are_answered_at_the_masters_own_pace() {
    sandboxed(60, |lab| {
        let Flooded { adverts: sent, announced, lateness } = under_flood(lab, &advert(50), 255, 10_000)?;
        // In each interval of 0.2 s the advert that is due and one answer, at both ends of the flood, too.
        let seconds = sent.last().zip(sent.first()).map_or(0.0, |(last, first)| last - first);
        #[expect(clippy::as_conversions, reason = "a handful of frames")]
        let allowed = 2.0 * ((seconds / 0.2).ceil() + 1.0) - sent.len() as f64;
        require(allowed >= 0.0, || format!("{} adverts in {seconds:.3} s", sent.len()))?;
        without_a_pause(&sent, lateness)?;
        // One burst of five a second, at both ends, too.
        #[expect(clippy::as_conversions, reason = "a handful of frames")]
        let allowed = 5.0 * (seconds.ceil() + 2.0) - announced as f64;
        require(allowed >= 0.0, || format!("{announced} announcements in {seconds:.3} s"))
    });
}

#[test]
fn an_address_that_comes_node_by_node_makes_no_second_master() {
    sandboxed(60, |lab| {
        for order in [["d1", "d2"], ["d2", "d1"]] {
            let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
            let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
            let first = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
            let second = Director::start(lab, d2, Subject::Ours, &config(100), &[])?;
            wait_until("d1 alone holds the address", ELECTED, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
            let before = (transitions(&first)?, second.transitions_in("Backup")?);
            for name in order {
                let (director, host, priority) =
                    if name == "d1" { (&first, d1, 200) } else { (&second, d2, 100) };
                let mut instance = VrrpInstance::new(3, "0.2", priority, ADDRESS);
                instance.addresses.push("10.77.0.51/24 dev eth0".to_owned());
                director.write_config(host, &(global("lab") + &instance.text()))?;
                director.ctl(&["reload"])?;
                pause(Duration::from_millis(900));
            }
            let after = (transitions(&first)?, second.transitions_in("Backup")?);
            require(before == after, || format!("{before:?} became {after:?}"))?;
            require(d1.has(front4(51)) && !d2.has(front4(51)), || {
                "the address isn't where it belongs".to_owned()
            })?;
        }
        Ok(())
    });
}

#[test]
fn with_a_lease_the_kernel_removes_the_address_of_a_dead_suite() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let instance = VrrpInstance::new(3, "0.2", 200, ADDRESS)
            .with("vip_lease on")
            .with("virtual_ipaddress_excluded {\n        fd77::50/64 dev eth0\n    }")
            .text();
        let mut director = Director::start(lab, d1, Subject::Ours, &(global("d1") + &instance), &[])?;
        let _echo = Echo::start(d1)?;
        wait_until("d1 holds the address", ELECTED, || d1.has(ADDRESS))?;
        let probe = Probe::start(lan.host("client")?, ADDRESS, MILLISECOND)?;
        pause(Duration::from_secs(5));
        let report = probe.finish()?;
        require(report.lost == 0, || format!("renewals lost {report:?}"))?;
        director.freeze_and_kill();
        require(d1.has(ADDRESS), || "it should stay for its lease".to_owned())?;
        // Two seconds at most were left, and the kernel looks once in a while.
        let v6: IpAddr = "fd77::50".parse().map_err(|_| Failure::new("address"))?;
        wait_until("the kernel has removed both", ELECTED, || !d1.has(ADDRESS) && !d1.has(v6)).map(|_| ())
    });
}

/// keepalived's own answer to an address that somebody removes, for whoever wants it.
fn a_removed_address_costs_the_state(
    lab: &Lab,
    subject: Subject,
    extra: &str,
) -> Result<Vec<String>, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let config = global("lab") + &VrrpInstance::new(3, "0.2", 200, ADDRESS).with(extra).text();
    let director = Director::start(lab, d1, subject, &config, &[])?;
    wait_until("d1 is Master", Duration::from_secs(20), || d1.has(ADDRESS))?;
    let capture = Capture::start(lab, lan.switch(), subject.word())?;
    capture.wait_until("it speaks", |file| Ok(!capture::adverts(file)?.is_empty()))?;
    let removed = format!("Netlink reflector reports IP {ADDRESS} removed from eth0");
    // The log of the other subject may stand before.
    let before = (director.logged("Entering MASTER STATE"), director.logged(&removed));
    d1.ip(&format!("addr del {ADDRESS}/24 dev eth0\n"))?;
    wait_until("d1 is Master again", Duration::from_secs(20), || {
        director.logged("Entering MASTER STATE") == before.0 + 1 && d1.has(ADDRESS)
    })?;
    require(director.logged(&removed) == before.1 + 1, || director.log())?;
    capture.wait_until("it speaks again", |file| {
        Ok(capture::adverts(file)?.last().is_some_and(|advert| advert.priority == 200))
    })?;
    let mut priorities: Vec<String> =
        capture::adverts(&capture.stop()?)?.iter().map(|advert| advert.priority.to_string()).collect();
    priorities.dedup();
    Ok(priorities)
}

#[test]
fn with_vip_restore_upstream_a_removed_address_costs_the_state_as_with_c() {
    sandboxed(60, |lab| {
        let ours = a_removed_address_costs_the_state(lab, Subject::Ours, "vip_restore upstream")?;
        let c = a_removed_address_costs_the_state(lab, Subject::C, "")?;
        require(ours == ["200", "0", "200"] && c == ours, || format!("ours {ours:?}, C {c:?}"))
    });
}
