//! What packets that must be refused do to the rhythm of a Master, on the switch beside the reference.

use std::net::IpAddr;
use std::time::Duration;

use super::Figure;
use crate::lab::config_text::{VrrpInstance, global};
use crate::lab::forged::{advert, flood};
use crate::lab::lan::front4;
use crate::lab::{Capture, Director, Failure, Lab, Lan, Subject, capture, pause, wait_until};

const ADDRESS: IpAddr = front4(50);
const SECONDS: u32 = 4;
/// Milliseconds between two adverts.
const INTERVAL_MS: f64 = 200.0;

/// Every figure of this file.
pub fn figures(lab: &Lab) -> Result<Vec<Figure>, Failure> {
    let figure = |what: &str, count| -> Result<Figure, Failure> {
        Ok(Figure {
            what: format!("{what} of another version: farthest that one advert of 0.2 s moved, ms"),
            target: Some(10.0),
            ours: farthest(lab, Subject::Ours, count)?,
            c: Some(farthest(lab, Subject::C, count)?),
        })
    };
    Ok(vec![figure("one packet a second", 1)?, figure("10 000 packets a second", 10_000)?])
}

/// Farthest that an interval between two adverts of a Master is from what it should be, while so many packets a second
/// bear its VRID.
fn farthest(lab: &Lab, subject: Subject, count: u32) -> Result<f64, Failure> {
    let lan = Lan::new(&[("client", 100), ("d1", 1)])?;
    let (client, d1) = (lan.host("client")?, lan.host("d1")?);
    let config = global("bench") + &VrrpInstance::new(3, "0.2", 200, ADDRESS).text();
    let _director = Director::start(lab, d1, subject, &config, &[])?;
    wait_until("d1 holds the address", Duration::from_secs(10), || d1.has(ADDRESS))?;
    let mut wrong = advert(250);
    wrong[0] = 0x21;
    let capture = Capture::start(lab, lan.switch(), &format!("hostile.{}.{count}", subject.word()))?;
    for _ in 0..SECONDS {
        flood(client, &wrong, 255, count)?;
        if count == 1 {
            pause(Duration::from_secs(1));
        }
    }
    let times = capture::times_of(&capture.stop()?, "10.77.0.1")?;
    // Who is silenced altogether has moved its adverts by the whole time.
    if times.len() < 2 {
        return Ok(f64::from(SECONDS) * 1e3);
    }
    let errors = times.windows(2).map(|pair| ((pair[1] - pair[0]) * 1e3 - INTERVAL_MS).abs());
    Ok(errors.fold(0.0, f64::max))
}
