//! Where checks are measured: one machine that owns 10.99.0.0/16, a server that answers on all of it, the bare loop that
//! checks it, and either keepalived. Debian's needs no IPVS here: a library preloaded into it confirms every order.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::clock::now;
use crate::lab::subject::Outfit;
use crate::lab::{Director, Failure, Host, Lab, Lan, Subject, process};

/// The port that [`Server`] listens on.
pub(super) const PORT: u16 = 8080;
const FIFO: &str = "/run/lab/checks.fifo";

/// The machine and the programs made for it.
pub(super) struct Stage {
    lan: Lan,
    yardstick: PathBuf,
    no_ipvs: PathBuf,
}

impl Stage {
    /// Makes both.
    pub(super) fn new() -> Result<Self, Failure> {
        let lan = Lan::new(&[("d1", 1)])?;
        let host = lan.host("d1")?;
        host.ip("route add local 10.99.0.0/16 dev lo\n")?;
        host.sysctl("net.ipv4.ip_local_port_range", "1024 65000")?;
        host.sysctl("net.core.somaxconn", "16384")?;
        host.sysctl("net.ipv4.tcp_max_syn_backlog", "16384")?;
        fs::create_dir_all("/run/lab").map_err(|cause| Failure::instrument("/run/lab", cause))?;
        let made = |name: &str, text: &str, options: &[&str]| -> Result<PathBuf, Failure> {
            let (source, program) = (format!("/run/lab/{name}.c"), format!("/run/lab/{name}"));
            fs::write(&source, text).map_err(|cause| Failure::instrument(&source, cause))?;
            let mut arguments = vec!["-O2", "-o", &program, &source];
            arguments.extend(options);
            host.run("cc", &arguments)?;
            Ok(program.into())
        };
        let yardstick = made("epoll", include_str!("epoll.c"), &[])?;
        let no_ipvs = made("no_ipvs", include_str!("no_ipvs.c"), &["-shared", "-fPIC"])?;
        Ok(Self { lan, yardstick, no_ipvs })
    }

    /// The machine.
    pub(super) fn host(&self) -> Result<&Host, Failure> {
        self.lan.host("d1")
    }

    /// Starts a server.
    pub(super) fn serve(&self, kind: &str) -> Result<Server, Failure> {
        Server::start(self.host()?, &self.yardstick, kind)
    }

    /// Lets the bare loop check so many servers, each every `interval`: nanoseconds of processor time for each check.
    pub(super) fn bare(
        &self,
        kind: &str,
        checks: u16,
        interval: Duration,
        length: Duration,
    ) -> Result<f64, Failure> {
        let interval = interval.as_millis().to_string();
        let arguments =
            ["check", kind, &checks.to_string(), &length.as_secs().to_string(), &interval, &PORT.to_string()];
        let said = self.host()?.run(&self.yardstick.to_string_lossy(), &arguments)?;
        let mut numbers = said.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(microseconds), Some(good)) if good > 0.0 => Ok(microseconds * 1e3 / good),
            _ => Err(Failure::new(format!("the bare loop says {said:?}"))),
        }
    }

    /// Starts a keepalived.
    pub(super) fn start(&self, lab: &Lab, subject: Subject, config: &str) -> Result<Checker, Failure> {
        let environment = [("LD_PRELOAD", self.no_ipvs.as_path())];
        let environment: &[(&str, &Path)] = if subject == Subject::C { &environment } else { &[] };
        let outfit = Outfit { options: &["-C"], environment, ..Outfit::default() };
        let director = Director::start_as(lab, self.host()?, subject, config, &outfit)?;
        Ok(Checker { director })
    }
}

/// A keepalived that checks servers.
pub(super) struct Checker {
    pub(super) director: Director,
}

impl Checker {
    /// The process that checks.
    pub(super) fn pid(&self) -> Result<i32, Failure> {
        match self.director.subject() {
            Subject::Ours => self.director.wait_daemon("checkd"),
            Subject::C => {
                let children = self.director.daemons();
                let child = children.first().ok_or_else(|| Failure::new("no process checks"))?;
                Ok(child.pid)
            }
        }
    }

    /// Nanoseconds of processor time that all its processes have used.
    pub(super) fn processor_time(&self) -> Result<u64, Failure> {
        let mut pids = vec![self.director.pid()];
        pids.extend(self.director.daemons().iter().map(|process| process.pid));
        let times = pids.into_iter().map(process::processor_nanoseconds);
        times.sum::<Option<u64>>().ok_or_else(|| Failure::new("no processor time"))
    }
}

/// The yardstick's server.
pub(super) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(host: &Host, program: &Path, kind: &str) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.args(["serve", &PORT.to_string(), kind]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = host.spawn(&mut command)?;
        let missing = || Failure::new("the server has no pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let mut server = Self { child, input, output };
        server.line()?;
        Ok(server)
    }

    /// Connections accepted so far, and those that are open now.
    pub(super) fn counts(&mut self) -> Result<(u64, u64), Failure> {
        self.input.write_all(b"?").map_err(|cause| Failure::instrument("asking the server", cause))?;
        let line = self.line()?;
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(accepted), Some(open)) => Ok((accepted, open)),
            _ => Err(Failure::new(format!("the server says {line:?}"))),
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .map_err(|cause| Failure::instrument("the server's answer", cause))?;
        Ok(line)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::signal(i32::try_from(self.child.id()).unwrap_or(0), Signal::SIGKILL);
        drop(self.child.wait());
    }
}

/// A configuration of so many servers, a hundred to each virtual server, with one check each.
pub(super) fn config(servers: u16, port: u16, settings: &str, check: &str) -> String {
    let mut text = format!("global_defs {{\n    lvs_notify_fifo {FIFO}\n}}\n");
    for number in 0..servers {
        let (high, low) = (number / 100, number % 100);
        if low == 0 {
            writeln!(
                text,
                "virtual_server 10.98.{}.{} 80 {{\n    lb_algo rr\n    lb_kind NAT",
                high / 100,
                high
            )
            .ok();
            writeln!(text, "    protocol TCP\n    {settings}").ok();
        }
        let address = server(number);
        writeln!(text, "    real_server {address} {port} {{\n        {check}\n    }}").ok();
        if low == 99 || number.saturating_add(1) == servers {
            text.push_str("}\n");
        }
    }
    text
}

/// Address of a server, counted from 0.
pub(super) fn server(number: u16) -> Ipv4Addr {
    let [high, low] = number.saturating_add(1).to_be_bytes();
    Ipv4Addr::new(10, 99, high, low)
}

/// News of servers, as the FIFO tells them, each with the time at which it was read.
pub(super) struct News {
    lines: Receiver<(Instant, String)>,
}

impl News {
    /// Makes the FIFO and listens, until the program ends.
    pub(super) fn listen() -> Result<Self, Failure> {
        let path = Path::new(FIFO);
        if !path.exists() {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600))
                .map_err(|cause| Failure::instrument("the FIFO", cause))?;
        }
        let mut fifo = open(path).map_err(|cause| Failure::instrument("the FIFO", cause))?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let (mut rest, mut room) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(got) = fifo.read(&mut room) {
                let at = now();
                rest.extend_from_slice(room.get(..got).unwrap_or_default());
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let line = String::from_utf8_lossy(&line);
                    let line = line.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
                    if sender.send((at, line.to_owned())).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Self { lines })
    }

    /// Servers that went down: so many, or those that did until `patience` was over.
    pub(super) fn deaths(&self, count: usize, patience: Duration) -> Vec<(Instant, String)> {
        let end = now() + patience;
        let mut deaths = Vec::new();
        while deaths.len() < count {
            let Ok(news) = self.lines.recv_timeout(end.saturating_duration_since(now())) else { break };
            if news.1.starts_with("RS ") && news.1.ends_with(" DOWN") {
                deaths.push(news);
            }
        }
        deaths
    }

    /// Forgets what was told until now.
    pub(super) fn forget(&self) {
        while self.lines.try_recv().is_ok() {}
    }
}

/// Opened for writing, too, so that it never ends.
fn open(path: &Path) -> std::io::Result<File> {
    let fifo = OpenOptions::new().read(true).write(true).open(path)?;
    nix::fcntl::fcntl(&fifo, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20))?;
    Ok(fifo)
}
