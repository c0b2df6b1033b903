//! Times on the wire, taken on the switch between two directors of the same kind.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Figure, median};
use crate::lab::clock::{epoch, now};
use crate::lab::config_text::{VrrpInstance, global};
use crate::lab::lan::{Cable, front4};
use crate::lab::{
    Advert, Capture, Director, Failure, Host, Lab, Lan, Subject, capture, pause, process, wait_until,
};

const ADDRESS: IpAddr = front4(50);
const FAILOVERS: usize = 9;
const KILLS: usize = 5;
/// Three adverts of 0.1 s and the skew of priority 100: what RFC 9568 itself makes a Backup wait.
pub(super) const BOUND: f64 = 0.3 + 0.1 * 156.0 / 256.0;

/// Every figure of this kernel.
pub fn figures(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let mut figures = vec![failover(lab)?];
    let (mut longest_turn, mut dearest_turn) = (0.0_f64, 0.0_f64);
    for instances in [1, 250] {
        let ours = kills(lab, Subject::Ours, instances)?;
        let c = kills(lab, Subject::C, instances)?;
        longest_turn = longest_turn.max(ours.longest_turn_ms);
        dearest_turn = dearest_turn.max(ours.dearest_turn_ms);
        figures.push(Figure {
            what: format!(
                "next advert after kill -9 of vrrpd: later than due, {instances} instance(s), ms (median)"
            ),
            target: None,
            ours: median(&ours.late_ms),
            c: Some(median(&c.late_ms)),
        });
        figures.push(Figure {
            what: format!("longest pause of any instance over a kill, {instances} instance(s), ms"),
            // A peer waits three adverts of a second.
            target: Some(3000.0),
            ours: ours.longest_pause_ms,
            c: Some(c.longest_pause_ms),
        });
    }
    // What a turn costs is the suite's; how long it lasts is the machine's, too: it takes a processor away when it likes.
    figures.push(Figure {
        what: "most processor time of one turn of the parent's loop, ms".to_owned(),
        target: Some(5.0),
        ours: dearest_turn,
        c: None,
    });
    figures.push(Figure {
        what: "longest turn of the parent's loop by the clock, ms".to_owned(),
        target: None,
        ours: longest_turn,
        c: None,
    });
    Ok(figures)
}

/// How long a takeover takes beyond what the protocol waits.
///
/// # Errors
/// The laboratory fails.
pub fn failover(lab: &Lab) -> Result<Figure, Failure> {
    // In turns: both meet the machine's better and worse moments.
    let (mut ours, mut c) = (Vec::new(), Vec::new());
    for round in 0..FAILOVERS {
        ours.push(one_failover(lab, Subject::Ours, round)?);
        c.push(one_failover(lab, Subject::C, round)?);
    }
    Ok(Figure {
        what:
            "last advert to first gratuitous ARP, beyond the protocol's 361 ms, advert_int 0.1, ms (median)"
                .to_owned(),
        target: Some(0.2),
        ours: median(&ours),
        c: Some(median(&c)),
    })
}

/// Milliseconds beyond the bound from the last advert of a Master that lost its power to the first announcement of
/// its successor.
fn one_failover(lab: &Lab, subject: Subject, round: usize) -> Result<f64, Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    let config = |priority| global("bench") + &VrrpInstance::new(3, "0.1", priority, ADDRESS).text();
    let _first = Director::start(lab, d1, subject, &config(200), &[])?;
    let _second = Director::start(lab, d2, subject, &config(100), &[])?;
    wait_until("d1 alone holds the address", Duration::from_secs(5), || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
    let name = format!("failover.{}.{round}", subject.word());
    let capture = Capture::start(lab, lan.switch(), &name)?;
    pause(Duration::from_millis(350));
    lan.power_off("d1")?;
    wait_until("d2 takes over", Duration::from_secs(5), || d2.has(ADDRESS))?;
    pause(Duration::from_millis(100));
    let file = capture.stop()?;
    let adverts = capture::adverts(&file)?;
    let last =
        adverts.iter().filter(|advert| advert.priority == 200).map(|advert| advert.at).fold(0.0, f64::max);
    let announced = capture::announcements(&file, &ADDRESS.to_string())?
        .into_iter()
        .filter(|at| *at > last)
        .fold(f64::INFINITY, f64::min);
    // Cables are plugged again so that the next round finds a quiet switch.
    lan.set_cable("d1", Cable::Plugged)?;
    Ok((announced - last - BOUND) * 1e3)
}

struct Kills {
    late_ms: Vec<f64>,
    longest_pause_ms: f64,
    longest_turn_ms: f64,
    dearest_turn_ms: f64,
}

fn kills(lab: &Lab, subject: Subject, instances: u8) -> Result<Kills, Failure> {
    let lan = Lan::new(&[("d1", 1)])?;
    let d1 = lan.host("d1")?;
    let director = Director::start(lab, d1, subject, &many(instances, "1", 200), &[])?;
    wait_until("d1 holds every address", Duration::from_secs(30), || {
        (1..=instances).all(|number| d1.addresses().contains(&virtual_address(number)))
    })?;
    pause(Duration::from_secs(2));
    let mut found =
        Kills { late_ms: Vec::new(), longest_pause_ms: 0.0, longest_turn_ms: 0.0, dearest_turn_ms: 0.0 };
    for round in 0..KILLS {
        let name = format!("kill.{}.{instances}.{round}", subject.word());
        let capture = Capture::start(lab, lan.switch(), &name)?;
        pause(Duration::from_millis(1500));
        let victim = sender(d1, &director)?;
        let struck = epoch();
        process::signal(victim, Signal::SIGKILL);
        let killed = now();
        wait_until("another process sends", Duration::from_secs(10), || {
            sender(d1, &director).is_ok_and(|pid| pid != victim)
        })?;
        pause(Duration::from_secs(6).saturating_sub(killed.elapsed()));
        let adverts = capture::adverts(&capture.stop()?)?;
        found.late_ms.extend(by_instance(&adverts).values().filter_map(|times| late(times, struck)));
        found.longest_pause_ms = found.longest_pause_ms.max(longest_pause(&adverts) * 1e3);
    }
    if subject == Subject::Ours {
        let status = director.status()?;
        let turn_ms = |field| status["parent"][field].as_f64().unwrap_or(f64::INFINITY) / 1e3;
        found.longest_turn_ms = turn_ms("longest_turn_us");
        found.dearest_turn_ms = turn_ms("dearest_turn_us");
    }
    Ok(found)
}

/// The process that speaks VRRP.
pub(super) fn sender(host: &Host, director: &Director) -> Result<i32, Failure> {
    let missing = || Failure::new("no process speaks VRRP");
    match director.subject() {
        Subject::Ours => director.daemon("vrrpd").ok_or_else(missing),
        Subject::C => {
            let file = format!("/run/lab/{}.vrrp.pid", host.name());
            let pid = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
            pid.filter(|pid| process::is_alive(*pid)).ok_or_else(missing)
        }
    }
}

/// So many instances of one address each, all on one interface.
pub(super) fn many(instances: u8, advert_int: &'static str, priority: u8) -> String {
    let blocks = (1..=instances).map(|number| {
        let mut instance = VrrpInstance::new(3, advert_int, priority, virtual_address(number));
        instance.name = format!("VI_{number}");
        instance.vrid = number;
        instance.addresses = vec![format!("{}/32 dev eth0", virtual_address(number))];
        instance.text()
    });
    global("bench") + &blocks.collect::<String>()
}

fn virtual_address(number: u8) -> IpAddr {
    IpAddr::from([10, 77, 1, number])
}

/// When each instance has spoken.
pub(super) fn by_instance(adverts: &[Advert]) -> BTreeMap<&str, Vec<f64>> {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for advert in adverts {
        times.entry(&advert.vrid).or_default().push(advert.at);
    }
    times
}

/// How much longer than a second the pause is in which this happened, in ms.
fn late(times: &[f64], struck: f64) -> Option<f64> {
    let pause = times.windows(2).find(|pair| pair[0] <= struck && struck < pair[1])?;
    Some((pause[1] - pause[0] - 1.0) * 1e3)
}

fn longest_pause(adverts: &[Advert]) -> f64 {
    let pauses = by_instance(adverts)
        .into_values()
        .map(|times| times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max));
    pauses.fold(0.0, f64::max)
}

/// How late this machine wakes a sleeper: 99th percentile of 400 sleeps of 5 ms, in ms.
#[must_use]
pub fn noise_floor() -> f64 {
    let mut late: Vec<f64> = (0..400)
        .map(|_| {
            let start = now();
            pause(Duration::from_millis(5));
            start.elapsed().as_secs_f64() * 1e3 - 5.0
        })
        .collect();
    late.sort_by(f64::total_cmp);
    late.get(396).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_in_which_it_happened_is_told_beyond_its_second() {
        let times = [10.0, 11.0, 12.25, 13.25];
        assert_eq!(late(&times, 11.5), Some(250.0));
        assert_eq!(late(&times, 10.0), Some(0.0));
        assert_eq!(late(&times, 13.5), None, "nothing was heard after it");
    }
}
