//! Captures on the switch, judged by tshark: an eye that shares no code with what it looks at.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::failure::require;
use super::process;
use super::{Failure, Host, Lab, wait_until};

/// A running capture.
pub struct Capture {
    child: Child,
    file: PathBuf,
}

/// One VRRP frame as tshark reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Advert {
    /// When it passed the switch: seconds since 1970.
    pub at: f64,
    /// Source address, as text.
    pub source: String,
    /// Destination address, as text.
    pub destination: String,
    /// Time to live or hop limit.
    pub ttl: String,
    /// VRRP version.
    pub version: String,
    /// Virtual router.
    pub vrid: String,
    /// Priority; 0 resigns.
    pub priority: u8,
    /// Interval: seconds in version 2, centiseconds in version 3.
    pub interval: String,
    /// Addresses, separated by commas.
    pub addresses: String,
}

impl Capture {
    /// Starts capturing VRRP, ARP and ICMPv6 on the switch; returns when frames are being seen.
    pub fn start(lab: &Lab, switch: &Host, name: &str) -> Result<Self, Failure> {
        let file = lab.out.join(format!("{name}.pcap"));
        let messages = lab.out.join(format!("{name}.tcpdump"));
        let sink = File::create(&messages).map_err(|cause| Failure::instrument("capture", cause))?;
        let mut command = Command::new("tcpdump");
        command
            .args(["-Z", "root", "-U", "--immediate-mode", "-s", SNAPSHOT, "-B", BUFFER, "-i", "br0", "-w"])
            .arg(&file)
            .arg("vrrp or ip6 proto 112 or ah or arp or icmp6")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(sink);
        let child = switch.spawn(&mut command)?;
        wait_until("tcpdump listens", PATIENCE, || {
            fs::read_to_string(&messages).is_ok_and(|text| text.contains("listening on"))
        })?;
        Ok(Self { child, file })
    }

    /// Waits until what has been captured so far satisfies `enough`. A frame that is being written is not there yet.
    pub fn wait_until(
        &self,
        what: &str,
        enough: impl Fn(&Path) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        wait_until(what, PATIENCE, || enough(&self.file).unwrap_or(false)).map(drop)
    }

    /// Stops capturing and returns the file.
    pub fn stop(mut self) -> Result<PathBuf, Failure> {
        process::signal(i32::try_from(self.child.id()).unwrap_or(0), Signal::SIGINT);
        self.child.wait().map_err(|cause| Failure::instrument("tcpdump", cause))?;
        Ok(self.file)
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a frame that are kept: the longest advert has 255 IPv6 addresses.
const SNAPSHOT: &str = "4200";
/// KiB of frames that may wait for tcpdump, each of which takes a whole snapshot: bursts of hundreds are not lost.
const BUFFER: &str = "32768";

/// All VRRP frames of a capture. Fails when tshark finds a frame malformed or with a wrong checksum.
pub fn adverts(file: &Path) -> Result<Vec<Advert>, Failure> {
    let rows = tshark(file, "vrrp", &ADVERT_FIELDS)?;
    rows.iter().map(|row| advert(row)).collect()
}

/// The same without those of a sender that sends garbage.
pub fn adverts_but_of(file: &Path, sender: &str) -> Result<Vec<Advert>, Failure> {
    let rows = tshark(file, &format!("vrrp && !(ip.src == {sender})"), &ADVERT_FIELDS)?;
    rows.iter().map(|row| advert(row)).collect()
}

/// Arrival times of gratuitous ARP and unsolicited neighbour advertisements for an address.
pub fn announcements(file: &Path, address: &str) -> Result<Vec<f64>, Failure> {
    let filter = if address.contains(':') {
        format!("icmpv6.type == 136 && icmpv6.nd.na.target_address == {address} && ipv6.dst == ff02::1")
    } else {
        format!("arp.src.proto_ipv4 == {address} && arp.dst.proto_ipv4 == {address}")
    };
    let rows = tshark(file, &filter, &["frame.time_epoch"])?;
    Ok(rows.iter().filter_map(|row| row.first()?.parse().ok()).collect())
}

/// Times of the VRRP frames of a sender, unjudged: beside a flood of bad ones only the sender tells them apart.
pub fn times_of(file: &Path, source: &str) -> Result<Vec<f64>, Failure> {
    let rows = tshark(file, &format!("vrrp && ip.src == {source}"), &["frame.time_epoch"])?;
    Ok(rows.iter().filter_map(|row| row.first()?.parse().ok()).collect())
}

/// Traffic classes of the adverts over IPv6.
pub fn classes(file: &Path) -> Result<Vec<String>, Failure> {
    let rows = tshark(file, "vrrp && ipv6", &["ipv6.tclass"])?;
    Ok(rows.into_iter().flatten().collect())
}

/// Runs tshark with a display filter; one row of fields for each frame.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>, Failure> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-n", "-Y", filter, "-T", "fields", "-E", "separator=|"]);
    for field in fields {
        command.args(["-e", field]);
    }
    // tshark reads and writes preferences: none of the operator's, none left behind.
    command.env("HOME", "/run").env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
    let output = command.output().map_err(|cause| Failure::instrument("tshark", cause))?;
    require(output.status.success(), || {
        format!("tshark: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

const ADVERT_FIELDS: [&str; 16] = [
    "frame.time_epoch",
    "ip.src",
    "ipv6.src",
    "ip.ttl",
    "ipv6.hlim",
    "vrrp.version",
    "vrrp.virt_rtr_id",
    "vrrp.prio",
    "vrrp.adver_int",
    "vrrp.short_adver_int",
    "vrrp.ip_addr",
    "vrrp.ipv6_addr",
    "vrrp.checksum.status",
    "_ws.malformed",
    "ip.dst",
    "ipv6.dst",
];

fn advert(row: &[String]) -> Result<Advert, Failure> {
    let [
        at,
        source4,
        source6,
        ttl4,
        ttl6,
        version,
        vrid,
        priority,
        interval2,
        interval3,
        addresses4,
        addresses6,
        checksum,
        malformed,
        destination4,
        destination6,
    ] = row
    else {
        return Err(Failure::new(format!("tshark gave {row:?}")));
    };
    require(malformed.is_empty(), || format!("tshark calls this frame malformed: {row:?}"))?;
    require(checksum == "1", || format!("tshark finds a wrong checksum: {row:?}"))?;
    Ok(Advert {
        at: at.parse().map_err(|cause| Failure::instrument("time of a frame", cause))?,
        source: format!("{source4}{source6}"),
        destination: format!("{destination4}{destination6}"),
        ttl: format!("{ttl4}{ttl6}"),
        version: version.clone(),
        vrid: vrid.clone(),
        priority: priority.parse().map_err(|cause| Failure::instrument("priority of a frame", cause))?,
        interval: format!("{interval2}{interval3}"),
        addresses: format!("{addresses4}{addresses6}"),
    })
}

/// How long after the first resignation of this sender somebody else spoke: what the peer waited, whatever the
/// laboratory saw of it and when.
pub fn succession(adverts: &[Advert], resigned: &str) -> Result<f64, Failure> {
    let end = adverts.iter().find(|advert| advert.priority == 0 && advert.source == resigned);
    let end = end.ok_or_else(|| Failure::new(format!("no advert of priority 0 from {resigned}")))?;
    let next = adverts.iter().find(|advert| advert.at > end.at && advert.source != resigned);
    let next = next.ok_or_else(|| Failure::new(format!("nobody has spoken after {resigned}")))?;
    Ok(next.at - end.at)
}

/// Sizes of bursts: what is sent within so many seconds after another one belongs to the same.
#[must_use]
pub fn bursts(times: &[f64], within: f64) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut before = f64::MIN;
    for &at in times {
        match sizes.last_mut() {
            Some(size) if at - before < within => *size += 1,
            _ => sizes.push(1),
        }
        before = at;
    }
    sizes
}

/// The longest pause between two adverts in a row, whoever sent them.
#[must_use]
pub fn longest_gap(adverts: &[Advert]) -> f64 {
    adverts.windows(2).map(|pair| pair[1].at - pair[0].at).fold(0.0, f64::max)
}
