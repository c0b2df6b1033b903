//! Gratuitous ARP and neighbour advertisements as the wire shows them.

use std::path::Path;
use std::time::Duration;

use tests::lab::capture::{Capture, announcements};
use tests::lab::config_text::VrrpInstance;
use tests::lab::failure::require;
use tests::lab::lan::front4;
use tests::lab::{Director, Failure, Lan, Subject, pause, sandboxed, wait_until};

const ELECTED: Duration = Duration::from_secs(20);

#[test]
fn announcements_of_a_group_keep_their_distance_and_the_other_family_does_not_wait() {
    sandboxed(60, |lab| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let capture = Capture::start(lab, lan.switch(), "pace")?;
        let mut instance = VrrpInstance::new(3, "0.2", 200, front4(50))
            .with("garp_master_repeat 3")
            .with("garp_master_delay 0")
            .with("virtual_ipaddress_excluded {\n        fd77::50/64 dev eth0\n    }");
        instance.addresses.push("10.77.0.51/24 dev eth0".to_owned());
        let config = "garp_group {\n    garp_interval 0.5\n    interface eth0\n}\n".to_owned();
        let _director = Director::start(lab, d1, Subject::Ours, &(config + &instance.text()), &[])?;
        wait_until("d1 holds the address", ELECTED, || d1.has(front4(50)))?;
        let arps = |file: &Path| -> Result<Vec<f64>, Failure> {
            let mut arp = announcements(file, "10.77.0.50")?;
            arp.extend(announcements(file, "10.77.0.51")?);
            arp.sort_by(f64::total_cmp);
            Ok(arp)
        };
        capture.wait_until("everything is announced", |file| {
            Ok(arps(file)?.len() >= 6 && announcements(file, "fd77::50")?.len() >= 3)
        })?;
        // Another one would follow as those before.
        pause(Duration::from_secs(1));
        let file = capture.stop()?;
        let arp = arps(&file)?;
        require(arp.len() == 6, || format!("{} gratuitous ARPs: {arp:?}", arp.len()))?;
        let least = arp.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::MAX, f64::min);
        require(least > 0.25, || format!("two gratuitous ARPs within {least:.3} s"))?;
        let neighbour = announcements(&file, "fd77::50")?;
        require(neighbour.len() == 3, || format!("{} neighbour advertisements", neighbour.len()))
    });
}
