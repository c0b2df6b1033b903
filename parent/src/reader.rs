//! The config worker: reads, parses and resolves a configuration for the parent, and ends.
//!
//! Driver. What its files say may be wrong in any way: it holds one capability, writes nothing but the parent's memfds,
//! and everything that it says is checked there.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use config::diagnostic::{self, Diagnostic, Place, Severity, Tolerance};
use config::{LoadOptions, Loaded, load};
use ipc::channel::Channel;
use ipc::memfd::{MemfdError, RecordWriter};
use ipc::messages::worker::{
    Finding, FindingKind, FindingPlace, ParentToWorker, WORKER_MEMFDS, WorkerToParent,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::profile::WORKER;

use crate::worker::{What, WorkerError};

/// Serves the parent at fd 3, once.
#[must_use]
pub fn serve() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer() -> Result<(), WorkerError> {
    let socket = sandbox::system::fd::take_channel()?;
    sandbox::confine::start_daemon(&WORKER)?;
    let confined = sandbox::confine::confine(
        &WORKER,
        &sandbox::confine::Grants::default(),
        sandbox::confine::UnknownCalls::Refuse,
    );
    confined.map_err(|error| WorkerError::Talk(error.to_string()))?;
    let mut channel: Channel<WorkerToParent, ParentToWorker> = Channel::new(socket, true)?;
    let (order, memfds) = loop {
        match channel.receive() {
            Ok(Some(message)) => break message,
            Ok(None) => {
                let _readable =
                    poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
            }
            Err(error) => return Err(WorkerError::Talk(error.to_string())),
        }
    };
    let ParentToWorker::Load { path, config_id, compatible, strict_includes, canonical, checks, elsewhere } =
        order;
    let what = What { path, config_id, compatible, strict_includes, canonical, checks, elsewhere };
    // It reads for daemons that start or go on: the test of a configuration needs no worker.
    let loaded = load_system(&what, Tolerance::Values);
    let answer = write_parts(&loaded, canonical, checks, memfds)?;
    channel.send(&answer, &[]).map_err(|error| WorkerError::Talk(error.to_string()))?;
    Ok(())
}

/// Reads a configuration of this machine, with this tolerance unless there is to be more.
pub(crate) fn load_system(what: &What, tolerance: Tolerance) -> Loaded {
    let options = LoadOptions {
        tolerance: if what.compatible { Tolerance::Everything } else { tolerance },
        strict_includes: what.strict_includes,
        elsewhere: what.elsewhere,
        ..LoadOptions::on(config::names::this_node(), what.config_id.clone())
    };
    load(&config::source::Files, &config::names::SystemNames::default(), &what.path, &options)
}

fn write_parts(
    loaded: &Loaded,
    canonical: bool,
    checks: bool,
    memfds: Vec<OwnedFd>,
) -> Result<WorkerToParent, WorkerError> {
    let memfds: [OwnedFd; WORKER_MEMFDS] =
        memfds.try_into().map_err(|_| WorkerError::Talk("memfds are missing".to_owned()))?;
    let [parent, vrrpd, checkd, ipvsd, found, print, copy] = memfds;
    write_records(RecordWriter::new(found), loaded.diagnostics.iter().map(finding))?;
    let errors = u32::try_from(loaded.count(Severity::Error)).unwrap_or(u32::MAX);
    let errors = errors.max(u32::from(loaded.model.is_none()));
    if let Some(model) = loaded.model.as_ref().filter(|_| errors == 0) {
        if canonical {
            std::fs::File::from(print).write_all(config::print(model).as_bytes())?;
        }
        if let Some(text) = &loaded.consolidated {
            std::fs::File::from(copy).write_all(text.as_bytes())?;
        }
        let mut part = model.parent_part();
        let lists = part.take_lists();
        write_all(parent, &part, lists.iter())?;
        write_all(vrrpd, &model.vrrp_head(), model.instances.iter())?;
        if checks {
            write_all(checkd, &model.check_head(), model.virtual_servers.iter())?;
        } else {
            write_all(checkd, &model.mail_head(), std::iter::empty::<()>())?;
        }
        write_all(ipvsd, &model.ipvs_head(), model.ipvs_services())?;
    }
    Ok(WorkerToParent::Loaded {
        errors,
        missing: loaded.missing,
        has_vrrp: loaded
            .model
            .as_ref()
            .is_some_and(|model| !model.instances.is_empty() || !model.statics.is_empty()),
        has_checks: loaded.model.as_ref().is_some_and(|model| !model.virtual_servers.is_empty()),
        has_sync: loaded.model.as_ref().is_some_and(|model| model.ipvs.sync.is_some()),
        has_mail: loaded.model.as_ref().is_some_and(|model| model.mail.is_some()),
    })
}

/// A diagnostic as the parent takes it.
fn finding(diagnostic: &Diagnostic) -> Finding {
    let place = |place: &Place| FindingPlace { file: diagnostic::escaped(&place.file), line: place.line };
    Finding {
        kind: match diagnostic.severity {
            Severity::Error => FindingKind::Error,
            Severity::Warning if diagnostic.is_passed_over => FindingKind::PassedOver,
            Severity::Warning => FindingKind::Warning,
        },
        place: diagnostic.place.as_ref().map(place),
        words: diagnostic::escaped(&diagnostic.message),
        heading: diagnostic::heading(diagnostic),
        details: diagnostic::details(diagnostic),
    }
}

fn write_all<H: serde::Serialize, R: serde::Serialize>(
    fd: OwnedFd,
    head: &H,
    records: impl Iterator<Item = R>,
) -> Result<(), MemfdError> {
    let mut writer = RecordWriter::new(fd);
    writer.write(head)?;
    write_records(writer, records)
}

fn write_records<R: serde::Serialize>(
    mut writer: RecordWriter,
    records: impl Iterator<Item = R>,
) -> Result<(), MemfdError> {
    for record in records {
        writer.write(&record)?;
    }
    writer.finish()?;
    Ok(())
}
