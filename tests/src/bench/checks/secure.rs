//! What a check over TLS costs that resumes its session: against nginx with a certificate, which writes down of each
//! request whether it came in a resumed session.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::stage::{Stage, config};
use super::{SETTLE, TURN, TURNS, count};
use crate::bench::{Figure, median};
use crate::lab::{Failure, Host, Lab, Subject, pause, process};

const PORT: u16 = 8443;
const CHECK: &str = "SSL_GET {\n            url {\n                path /\n                status_code 200\n            }\n\
                     connect_timeout 5\n        }";

/// Processor time of an `SSL_GET`, at two rates: a checker that is woken for a single check finds its caches cold.
pub(super) fn figures(lab: &Lab, stage: &Stage) -> Result<Vec<Figure>, Failure> {
    [(1000, Some(300.0)), (200, None)]
        .map(|(checks, target)| cost(lab, stage, checks, target))
        .into_iter()
        .collect()
}

fn cost(lab: &Lab, stage: &Stage, checks: u16, target: Option<f64>) -> Result<Figure, Failure> {
    let (mut ours, mut c) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(turn(lab, stage, checks, Subject::Ours)?);
        c.push(turn(lab, stage, checks, Subject::C)?);
    }
    Ok(Figure {
        what: format!(
            "{checks} SSL_GET with resumption every second: processor time of each, µs (median of {TURNS})"
        ),
        target,
        ours: median(&ours),
        c: Some(median(&c)),
    })
}

/// Microseconds of each check.
fn turn(lab: &Lab, stage: &Stage, checks: u16, subject: Subject) -> Result<f64, Failure> {
    let nginx = Secure::start(lab, stage.host()?)?;
    let checker = stage.start(lab, subject, &config(checks, PORT, "delay_loop 1", CHECK))?;
    pause(SETTLE);
    let (before, used) = (nginx.requests(), checker.processor_time()?);
    pause(TURN);
    let (after, used) = (nginx.requests(), checker.processor_time()?.saturating_sub(used));
    let (made, resumed) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    if subject == Subject::Ours && (resumed == 0 || resumed < made) {
        return Err(Failure::new(format!("of {made} requests {resumed} came in a resumed session")));
    }
    Ok(count(used) / 1e3 / count(made).max(1.0))
}

/// The server; ends when dropped.
struct Secure {
    child: Child,
    record: PathBuf,
}

impl Secure {
    /// Starts it.
    fn start(lab: &Lab, host: &Host) -> Result<Self, Failure> {
        let folder = lab.out.join("nginx");
        let failed = |cause| Failure::instrument("configuring nginx", cause);
        fs::create_dir_all(folder.join("www")).map_err(failed)?;
        fs::write(folder.join("www/index.html"), "hello\n").map_err(failed)?;
        let (at, record) = (folder.display().to_string(), folder.join("record"));
        let key = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=bench \
             -keyout {at}/key -out {at}/cert"
        );
        host.run("openssl", &key.split_whitespace().collect::<Vec<_>>())?;
        let text = format!(
            "daemon off; master_process off; user root; pid {at}/pid; error_log {at}/errors;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ log_format one \"$ssl_session_reused\"; access_log {at}/record one;\n\
             client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;\n\
             uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
             ssl_certificate {at}/cert; ssl_certificate_key {at}/key; ssl_protocols TLSv1.2 TLSv1.3;\n\
             ssl_session_cache shared:all:4m;\n\
             server {{ listen {PORT} ssl; root {at}/www; }} }}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, text).map_err(failed)?;
        // Each turn counts from nothing.
        fs::write(&record, "").map_err(failed)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(&file).arg("-p").arg(&folder).stdin(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: host.spawn(&mut command)?, record })
    }

    /// Requests so far, and those of them in a resumed session.
    fn requests(&self) -> (u64, u64) {
        let text = fs::read_to_string(&self.record).unwrap_or_default();
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        (number(text.lines().count()), number(text.lines().filter(|line| *line == "r").count()))
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        process::signal(i32::try_from(self.child.id()).unwrap_or(0), Signal::SIGKILL);
        drop(self.child.wait());
    }
}
