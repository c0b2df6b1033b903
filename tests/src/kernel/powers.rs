//! Confinement and work at the same time: landlock, seccomp and IPVS in one kernel.

use std::time::Duration;

use super::health::{ask, one_director};
use crate::demo::confinement::{EXPECTED, daemon_status, holds_exactly};
use crate::lab::failure::require;
use crate::lab::site::{WEB1, WEB2};
use crate::lab::{Failure, Lab, Subject, process};

/// Under all of it the table follows the servers, and no system call was refused on the way.
pub(super) fn confined_and_serving(lab: &Lab, subject: Subject) -> Result<(), Failure> {
    let (director, mut site) = one_director(lab, subject)?;
    ask(&site, "10.77.0.50", 4)?;
    site.kill_server(0);
    site.wait_table("d1", &[WEB2], Duration::from_secs(20))?;
    site.start_server(lab, 0)?;
    site.wait_table("d1", &[WEB1, WEB2], Duration::from_secs(20))?;
    for (name, capabilities, _) in EXPECTED {
        let pid = director.wait_daemon(name)?;
        require(holds_exactly(pid, capabilities), || format!("{name} holds other capabilities"))?;
        let seccomp = process::status_field(pid, "Seccomp").unwrap_or_default();
        require(seccomp == "2", || format!("{name} has Seccomp {seccomp}"))?;
        let status = daemon_status(&director, name).unwrap_or_default();
        require(status["confined"]["file_system"] == true, || format!("{name}: {}", status["confined"]))?;
        require(status["unknown_calls"] == 0, || {
            format!("{name} made {} calls that its page lacks", status["unknown_calls"])
        })?;
    }
    Ok(())
}
