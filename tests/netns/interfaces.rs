//! Interfaces that vanish, come back, change their names or flap while an instance lives on them, and thousands that
//! come and go beside it. A tunnel stands for what an operator takes away; default settings.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use tests::lab::config_text::global;
use tests::lab::failure::require;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, clock, pause, process, sandboxed, wait_until};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 78, 0, 50));
const ELECTED: Duration = Duration::from_secs(20);

fn config(priority: u8) -> String {
    global("lab")
        + &format!(
            "vrrp_instance VI_1 {{\n    interface lan0\n    virtual_router_id 51\n    priority {priority}\n    \
             version 3\n    advert_int 0.2\n    virtual_ipaddress {{\n        10.78.0.50/24\n        \
             }}\n    virtual_ipaddress_excluded {{\n        fd78::50/64\n    }}\n}}\n"
        )
}

/// `lan0` on one of two machines.
fn add_lan(host: &Host, number: u8) -> Result<(), Failure> {
    let other = 3 - number;
    host.ip(&format!(
        "link add lan0 type vxlan id 5 dstport 4789 local 10.77.0.{number} remote 10.77.0.{other} dev eth0\n\
         addr add 10.78.0.{number}/24 dev lan0\nlink set lan0 up\n"
    ))
}

fn state(director: &Director) -> Option<String> {
    let status = director.status().ok()?;
    Some(status["instances"][0]["state"].as_str()?.to_owned())
}

/// Two directors; the first is Master.
fn pair(lab: &Lab) -> Result<(Lan, Director, Director), Failure> {
    let lan = Lan::new(&[("d1", 1), ("d2", 2)])?;
    let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
    add_lan(d1, 1)?;
    add_lan(d2, 2)?;
    let first = Director::start(lab, d1, Subject::Ours, &config(200), &[])?;
    let second = Director::start(lab, d2, Subject::Ours, &config(100), &[])?;
    wait_until("d1 alone holds the address", ELECTED, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
    Ok((lan, first, second))
}

#[test]
fn an_instance_outlives_its_interface_and_has_it_back() {
    sandboxed(90, |lab| {
        let (lan, first, _second) = pair(lab)?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let speaker = first.wait_daemon("vrrpd")?;
        for _ in 0..3 {
            d1.ip("link del lan0\n")?;
            wait_until("d1 is in FAULT", ELECTED, || state(&first).as_deref() == Some("Fault"))?;
            wait_until("d2 takes over", ELECTED, || d2.has(ADDRESS))?;
            add_lan(d1, 1)?;
            wait_until("d1 has the address back", ELECTED, || d1.has(ADDRESS) && !d2.has(ADDRESS))?;
        }
        require(first.daemon("vrrpd") == Some(speaker), || "vrrpd was replaced".to_owned())
    });
}

#[test]
fn an_instance_follows_the_name_of_its_interface() {
    sandboxed(90, |lab| {
        let (lan, first, _second) = pair(lab)?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        d1.ip("link set lan0 down\nlink set lan0 name old0\nlink set old0 up\n")?;
        wait_until("d2 alone holds the address", ELECTED, || d2.has(ADDRESS) && !d1.has(ADDRESS))?;
        wait_until("d1 is in FAULT", ELECTED, || state(&first).as_deref() == Some("Fault"))?;
        // Another interface gets the name: the instance lives there from now on.
        d1.ip(
            "link add lan0 type vxlan id 6 dstport 4790 local 10.77.0.1 remote 10.77.0.2 dev eth0\naddr add 10.78.0.1/24 dev lan0\nlink set lan0 up\n",
        )?;
        wait_until("d1 holds the address, too, as nobody is heard there", ELECTED, || d1.has(ADDRESS))?;
        d1.ip("link del lan0\nlink set old0 down\nlink set old0 name lan0\nlink set lan0 up\n")?;
        wait_until("d1 alone holds the address", ELECTED, || d1.has(ADDRESS) && !d2.has(ADDRESS)).map(|_| ())
    });
}

#[test]
fn an_interface_that_flaps_twenty_times_is_master_again_at_the_end() {
    sandboxed(90, |lab| {
        let (lan, first, second) = pair(lab)?;
        let (d1, d2) = (lan.host("d1")?, lan.host("d2")?);
        let speaker = first.wait_daemon("vrrpd")?;
        let v6: IpAddr = "fd78::50".parse().map_err(|_| Failure::new("address"))?;
        let lines = first.log().lines().count();
        for flap in 0..20 {
            d1.ip("link set lan0 down\n")?;
            pause(Duration::from_millis(20 * (flap % 4)));
            d1.ip("link set lan0 up\n")?;
            pause(Duration::from_millis(30 * (flap % 3)));
        }
        wait_until("d1 alone holds both addresses", ELECTED, || {
            d1.has(ADDRESS) && d1.has(v6) && !d2.has(ADDRESS) && !d2.has(v6)
        })?;
        wait_until("d1 is Master", ELECTED, || state(&first).as_deref() == Some("Master"))?;
        wait_until("d2 is Backup", ELECTED, || state(&second).as_deref() == Some("Backup"))?;
        require(first.daemon("vrrpd") == Some(speaker), || "vrrpd was replaced".to_owned())?;
        require(first.logged("Netlink reports lan0 down") > 0, || first.log())?;
        // However many lines were kept back, the last one says what it is now.
        wait_until("the log ends with MASTER", ELECTED, || {
            let log = first.log();
            let last = log.lines().rfind(|line| line.contains("(VI_1) Entering "));
            last.is_some_and(|line| line.contains("Entering MASTER STATE"))
        })
        .map_err(|failure| Failure::new(format!("{failure}\n{}", first.log())))?;
        // Each may cost the state and bring it back, with every line of that.
        let more = first.log().lines().count() - lines;
        require(more < 20 * 60, || format!("{more} log lines"))
    });
}

#[test]
fn an_interruption_counts_after_its_delay_and_not_before() {
    sandboxed(90, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        add_lan(d1, 1)?;
        let text = config(200) + "interface_up_down_delays {\n    lan0 1.5 0.5\n}\n";
        let director = Director::start(lab, d1, Subject::Ours, &text, &[])?;
        wait_until("d1 holds the address", ELECTED, || d1.has(ADDRESS))?;
        let transitions =
            || director.status().ok().and_then(|status| status["instances"][0]["transitions"].as_u64());
        wait_until("d1 is Master", ELECTED, || state(&director).as_deref() == Some("Master"))?;
        let before = transitions();
        let mut longest = Duration::ZERO;
        for _ in 0..3 {
            let went = clock::now();
            d1.ip("link set lan0 down\n")?;
            pause(Duration::from_millis(300));
            d1.ip("link set lan0 up\n")?;
            longest = longest.max(went.elapsed());
            pause(Duration::from_millis(300));
        }
        // A kernel that is busy with other networks' interfaces may take longer than the delay for one command.
        let short = longest < Duration::from_millis(1_400);
        require(!short || (transitions() == before && d1.has(ADDRESS)), || {
            format!("{before:?} became {:?}, address {}", transitions(), d1.has(ADDRESS))
        })?;
        wait_until("d1 is Master still", ELECTED, || state(&director).as_deref() == Some("Master"))?;
        let went = clock::now();
        d1.ip("link set lan0 down\n")?;
        wait_until("d1 is in FAULT", ELECTED, || state(&director).as_deref() == Some("Fault"))?;
        require(went.elapsed() >= Duration::from_millis(1_400), || format!("after {:?}", went.elapsed()))?;
        let came = clock::now();
        d1.ip("link set lan0 up\n")?;
        wait_until("d1 is Master again", ELECTED, || state(&director).as_deref() == Some("Master"))?;
        require(came.elapsed() >= Duration::from_millis(1_000), || format!("after {:?}", came.elapsed()))
    });
}

#[test]
fn two_thousand_interfaces_that_come_and_go_leave_nothing_behind() {
    sandboxed(120, |lab| {
        let (lan, first, _second) = pair(lab)?;
        let d1 = lan.host("d1")?;
        let speaker = first.wait_daemon("vrrpd")?;
        let before = first.transitions_in("Master")?;
        let waves = |count: u32| -> Result<(), Failure> {
            for wave in 0..count {
                let names = (0..250).map(|number| {
                    format!("link add t{number} group 7 type bridge\naddr add 10.99.{wave}.{number}/32 dev t{number}\n")
                });
                d1.ip(&names.collect::<String>())?;
                d1.ip("link del group 7\n")?;
            }
            wait_until("vrrpd answers again", ELECTED, || first.status().is_ok()).map(|_| ())
        };
        let descriptors = || fs::read_dir(format!("/proc/{speaker}/fd")).map_or(0, Iterator::count);
        // The first wave brings the tables to the size that they need.
        waves(1)?;
        pause(Duration::from_millis(300));
        let (memory, files) = (process::private_kib(speaker), descriptors());
        waves(8)?;
        require(first.daemon("vrrpd") == Some(speaker), || "vrrpd was replaced".to_owned())?;
        require(first.transitions_in("Master")? == before, || "a change of state".to_owned())?;
        let later = || (process::private_kib(speaker), descriptors());
        wait_until("nothing has been left behind", ELECTED, || {
            let (memory_after, files_after) = later();
            let grown = memory_after.zip(memory).map(|(after, before)| after.saturating_sub(before));
            files_after <= files && grown.is_some_and(|grown| grown <= 256)
        })
        .map(drop)
        .map_err(|failure| {
            Failure::new(format!("{failure}: {memory:?} KiB and {files} descriptors became {:?}", later()))
        })
    });
}
