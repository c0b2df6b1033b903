//! How an instance takes over, answers and yields, keyword by keyword: many instances side by side, what is set for
//! all and what one of them says else.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::capture::{self, Advert, Capture, announcements};
use tests::lab::failure::require;
use tests::lab::forged::{Forged, Sum};
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, pause, process, sandboxed, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// Instance `V<number>` of this VRID, whose address has the same last byte.
fn instance(number: u8, advert_int: &str, priority: u8, extra: &str) -> String {
    format!(
        "vrrp_instance V{number} {{\n    interface eth0\n    virtual_router_id {number}\n    advert_int {advert_int}\n    \
         priority {priority}\n    version 3\n    {extra}\n    virtual_ipaddress {{\n        10.77.0.{number}/24 dev eth0\n    }}\n}}\n"
    )
}

fn globals(lines: &str) -> String {
    format!("global_defs {{\n    router_id lab\n    {lines}\n}}\n")
}

fn forged(number: u8, priority: u8) -> Forged {
    Forged::new(number, priority, Ipv4Addr::new(10, 77, 0, number))
}

fn start(lab: &Lab, host: &Host, config: &str) -> Result<Director, Failure> {
    Director::start(lab, host, Subject::Ours, config, &[])
}

/// Waits until `count` of an instance has this value.
fn wait_count(director: &Director, number: u8, field: &str, count: u64) -> Result<(), Failure> {
    wait_field(director, number, field, &format!("is {count}"), |found| found == count)
}

fn wait_field(
    director: &Director,
    number: u8,
    field: &str,
    what: &str,
    fits: impl Fn(u64) -> bool,
) -> Result<(), Failure> {
    let name = format!("V{number}");
    let look = || {
        let found = director.instance(&name);
        found[field].as_u64().or(found["rejected_by"][field].as_u64()).is_some_and(&fits)
    };
    wait_until(&format!("{field} of {name} {what}"), SOON, look).map(|_| ()).map_err(|failure| {
        Failure::new(format!("{failure}: {}\n{}", director.instance(&name), director.log()))
    })
}

#[test]
fn a_stronger_router_takes_over_when_its_configuration_says() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        // `preempt` takes back what is said before it, `state MASTER` leaves nothing of it either.
        let extras = [
            (61, ""),
            (62, "nopreempt"),
            (63, "nopreempt\n    preempt"),
            (64, "preempt_delay 2"),
            (65, "nopreempt\n    state MASTER"),
        ];
        let config = |priority, extras: &[(u8, &str)]| {
            let all = extras.iter().map(|(number, extra)| instance(*number, "0.2", priority, extra));
            globals("") + &all.collect::<String>()
        };
        let plain = extras.map(|(number, _)| (number, ""));
        let _weak = start(lab, d2, &config(100, &plain))?;
        let held = |host: &Host| extras.map(|(number, _)| host.has(front4(number)));
        wait_until("d2 holds every address", SOON, || held(d2) == [true; 5])?;
        let capture = Capture::start(lab, lan.switch(), "preempts")?;
        let strong = start(lab, d1, &config(200, &extras))?;
        wait_until("d1 takes three at once", SOON, || matches!(held(d1), [true, false, true, _, true]))?;
        wait_until("then that of preempt_delay", SOON, || d1.has(front4(64)))?;
        wait_until("each has one holder", SOON, || held(d2) == [false, true, false, false, false])?;
        require(held(d1) == [true, false, true, true, true], || strong.log())?;
        let adverts = capture::adverts(&capture.stop()?)?;
        let first = |vrid: &str| {
            let mut ours =
                adverts.iter().filter(|advert| advert.source == "10.77.0.1" && advert.vrid == vrid);
            ours.next().map_or(0.0, |advert| advert.at)
        };
        let waited = first("64") - first("61");
        require(waited > 0.7, || format!("after {waited:.3} s"))
    });
}

/// What d1 says to a lower priority and to a higher one; owners, so that nobody waits for adverts of forty seconds.
const ALL_OWNERS: &str = "vrrp_garp_master_delay 0\n    vrrp_garp_master_repeat 1\n    vrrp_garp_lower_prio_delay 1\n    \
    vrrp_garp_lower_prio_repeat 4\n    vrrp_lower_prio_no_advert true\n    vrrp_higher_prio_send_advert false\n    \
    vrrp_owner_ignore_adverts true";
const LISTENS: &str = "owner_ignore_adverts false";

fn owners() -> String {
    let says = |more: &str| format!("{LISTENS}\n    {more}");
    let quiet = "lower_prio_no_advert false\n    garp_lower_prio_repeat 2\n    garp_lower_prio_delay 0";
    globals(ALL_OWNERS)
        + &instance(71, "40", 255, LISTENS)
        + &instance(72, "40", 255, &says(quiet))
        + &instance(73, "40", 255, &says("higher_prio_send_advert true"))
        + &instance(74, "40", 255, LISTENS)
        + &instance(75, "40", 255, "")
}

#[test]
fn owners_answer_lower_priorities_and_yield_as_all_and_as_each_of_them_say() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
        let (client, d1) = (lan.host("client")?, lan.host("d1")?);
        let capture = Capture::start(lab, lan.switch(), "owners")?;
        let director = start(lab, d1, &owners())?;
        let has = |number: u8| d1.has(front4(number));
        wait_until("every owner is Master", SOON, || (71..=75).all(has))?;
        let announced =
            |file: &Path| Ok((announcements(file, "10.77.0.71")?, announcements(file, "10.77.0.72")?));
        capture.wait_until("both have announced themselves", |file| {
            announced(file).map(|(all, one)| !all.is_empty() && !one.is_empty())
        })?;
        for (number, priority) in [(71, 50), (72, 50), (73, 255), (74, 255), (75, 255)] {
            forged(number, priority).send(client)?;
        }
        wait_until("who listens yields to the higher address", SOON, || !has(73) && !has(74))?;
        wait_count(&director, 75, "owner_ignores", 1)?;
        require(has(75), || director.log())?;
        // The second burst comes after a second.
        capture.wait_until("both bursts", |file| {
            announced(file).map(|(all, one)| all.len() >= 9 && one.len() >= 3)
        })?;
        pause(Duration::from_secs(1));
        let file = capture.stop()?;
        let sent = capture::adverts(&file)?;
        let is_of =
            |advert: &Advert, number: u8| advert.source == "10.77.0.1" && advert.vrid == number.to_string();
        let adverts = |number| sent.iter().filter(|advert| is_of(advert, number)).count();
        let counts = [71, 72, 73, 74].map(adverts);
        require(counts == [1, 2, 2, 1], || format!("{counts:?} adverts\n{}", director.log()))?;
        let (all, one) = announced(&file)?;
        require(all.len() == 9 && one.len() == 3, || format!("announced {all:?} and {one:?}"))?;
        let again = all[5] - all[4];
        require(again > 0.5, || format!("the second burst came after {again:.3} s"))
    });
}

/// Backups that wait two minutes, and a Master that doesn't exist.
#[test]
fn what_a_backup_looks_at_in_an_advert_is_what_is_configured() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("client", 100), ("d1", 1), ("d2", 2)])?;
        let (client, d1, d2) = (lan.host("client")?, lan.host("d1")?, lan.host("d2")?);
        let peer = "unicast_peer {\n        10.77.0.9\n    }";
        let checked = format!("check_unicast_src\n    {peer}");
        let all = "vrrp_skip_check_adv_addr true\n    v3_checksum_as_v2\n    vrrp_check_unicast_src";
        let first = globals(all)
            + &instance(81, "40", 100, "")
            + &instance(82, "40", 100, "skip_check_adv_addr false\n    v3_checksum_as_v2 false")
            + &instance(86, "40", 100, peer);
        let second = globals("")
            + &instance(83, "40", 100, "skip_check_adv_addr true\n    v3_checksum_as_v2 true")
            + &instance(84, "40", 100, "")
            + &instance(87, "40", 100, &checked)
            + &instance(88, "40", 100, peer);
        let (first, second) = (start(lab, d1, &first)?, start(lab, d2, &second)?);
        for (director, number) in [(&first, 86), (&second, 88)] {
            let name = format!("V{number}");
            wait_until("the last one is Backup", SOON, || director.instance(&name)["state"] == "Backup")?;
        }
        for number in 81..=84 {
            let strange = Forged::new(number, 250, Ipv4Addr::new(10, 77, 0, 99));
            for _ in 0..3 {
                strange.send(client)?;
            }
            Forged { sum: Sum::Message, ..forged(number, 250) }.send(client)?;
        }
        for (number, last) in [(86, 1), (87, 2), (88, 2)] {
            Forged { to: Ipv4Addr::new(10, 77, 0, last), ..forged(number, 250) }.send(client)?;
        }
        // The addresses of a known Master are compared once, or with every advert; checksums are looked at, or not.
        for (director, number, mismatches) in
            [(&first, 81, 1), (&first, 82, 3), (&second, 83, 1), (&second, 84, 3)]
        {
            wait_count(director, number, "address_mismatches", mismatches)?;
        }
        for (director, taken, refused) in [(&first, 81, 82), (&second, 83, 84)] {
            wait_count(director, taken, "received", 4)?;
            wait_count(director, refused, "received", 3)?;
            wait_count(director, refused, "checksum", 1)?;
        }
        wait_count(&first, 86, "unknown_peer", 1)?;
        wait_count(&second, 87, "unknown_peer", 1)?;
        wait_count(&second, 88, "received", 1)
    });
}

/// Stops every process of a director for so long.
fn oversleep(director: &Director, length: Duration) {
    let mut pids: Vec<i32> = director.daemons().iter().map(|process| process.pid).collect();
    pids.push(director.pid());
    for pid in pids.iter().rev() {
        process::signal(*pid, Signal::SIGSTOP);
    }
    pause(length);
    for pid in &pids {
        process::signal(*pid, Signal::SIGCONT);
    }
}

#[test]
fn how_long_a_backup_waits_and_who_leaves_after_a_stall_is_configured() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let capture = Capture::start(lab, lan.switch(), "waits")?;
        let config = globals("vrrp_down_timer_adverts 6")
            + &instance(91, "0.5", 254, "down_timer_adverts 2")
            + &instance(92, "0.5", 254, "")
            + &instance(93, "0.2", 254, "nopreempt\n    timer_expired_backup 200")
            + &instance(94, "0.2", 254, "nopreempt\n    thread_timer_expired")
            + &instance(95, "0.2", 254, "nopreempt");
        let director = start(lab, d1, &config)?;
        wait_until("every instance is Master", SOON, || (91..=95).all(|number| d1.has(front4(number))))?;
        let adverts = capture::adverts(&capture.stop()?)?;
        let first =
            |vrid: &str| adverts.iter().find(|advert| advert.vrid == vrid).map_or(0.0, |advert| advert.at);
        // Two intervals and six, 2 s apart; without effect the one would be six, too, the other one three.
        let more = first("92") - first("91");
        require(more > 0.8, || format!("the longer wait is {more:.3} s longer"))?;
        oversleep(&director, Duration::from_millis(1_500));
        for number in [93, 94] {
            let line = format!("(V{number}) woke up too late");
            // A machine that stalls for 200 ms has made it oversleep before.
            wait_until(&line, SOON, || director.logged(&line) > 0)?;
            wait_field(&director, number, "released_master", "has grown", |found| found > 0)?;
        }
        wait_count(&director, 95, "released_master", 0)
    });
}

/// An address on another interface than the adverts, one message when it comes.
fn elsewhere(number: u8, extra: &str) -> String {
    instance(number, "0.2", 200, extra).replacen(
        "interface eth0",
        "interface eth1\n    garp_master_delay 0\n    garp_master_repeat 1",
        1,
    )
}

#[test]
fn other_interfaces_have_their_announcements_as_all_and_as_one_instance_say() {
    sandboxed(60, |lab| {
        let mut lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
        lan.add_back_network(&[("d1", 1), ("d2", 2)])?;
        let capture = Capture::start(lab, lan.switch(), "elsewhere")?;
        let spellings = [("d1", 101, "garp_extra_if"), ("d2", 111, "vmac_garp_intvl")];
        let mut running = Vec::new();
        for (name, number, word) in spellings {
            let config = globals(&format!("vrrp_{word} all 1"))
                + &elsewhere(number, "")
                + &elsewhere(number + 1, &format!("{word} all 60"));
            running.push(start(lab, lan.host(name)?, &config)?);
        }
        for (name, number, _) in spellings {
            let host = lan.host(name)?;
            let held = || host.has(front4(number)) && host.has(front4(number + 1));
            wait_until("both addresses are there", SOON, held)?;
        }
        let often = |file: &Path, number| announcements(file, &front4(number).to_string());
        capture.wait_until("both announce again and again", |file| {
            Ok(spellings.iter().all(|(_, number, _)| often(file, *number).is_ok_and(|seen| seen.len() >= 3)))
        })?;
        let file = capture.stop()?;
        for (_, number, word) in spellings {
            let all = announcements(&file, &front4(number).to_string())?;
            let one = announcements(&file, &front4(number + 1).to_string())?;
            require(all.len() >= 3 && one.len() == 1, || {
                format!("{word}: {all:?}, of the other one {one:?}")
            })?;
        }
        Ok(())
    });
}
