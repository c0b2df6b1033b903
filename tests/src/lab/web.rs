//! Web servers that answer with their host's name, and clients that open a new connection for every request and
//! never ask twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::clock::now;
use super::{Failure, Host, Lab, pause, process, wait_until};

/// An nginx of its own on port 80 of a host.
pub struct WebServer {
    child: Child,
    directory: PathBuf,
    listen: String,
}

impl WebServer {
    /// Starts nginx on `host`; returns when it answers there. Its page is the host's name.
    pub fn start(lab: &Lab, host: &Host) -> Result<Self, Failure> {
        Self::start_as(lab, host, "nginx")
    }

    /// The same under another program name (at most 15 bytes): all hosts share one list of processes, and a
    /// `killall -0` of one host must not find the server of another.
    pub fn start_as(lab: &Lab, host: &Host, program: &str) -> Result<Self, Failure> {
        let directory = Path::new("/run/lab").join(format!("{}.www", host.name()));
        let doing = format!("web server on {}", host.name());
        fs::create_dir_all(directory.join("pages")).map_err(|cause| Failure::instrument(&doing, cause))?;
        fs::write(directory.join("pages/index.html"), format!("{}\n", host.name()))
            .map_err(|cause| Failure::instrument(&doing, cause))?;
        let log = lab.out.join(format!("{}.nginx", host.name()));
        fs::write(directory.join("conf"), nginx_conf(&directory, &log))
            .map_err(|cause| Failure::instrument(&doing, cause))?;
        let copy = directory.join(program);
        fs::copy("/usr/sbin/nginx", &copy).map_err(|cause| Failure::instrument(&doing, cause))?;
        let mut command = Command::new(&copy);
        command
            .arg("-c")
            .arg(directory.join("conf"))
            .arg("-p")
            .arg(&directory)
            .arg("-e")
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = host.spawn(&mut command)?;
        let server = Self { child, directory, listen: host.name().to_owned() };
        wait_until(&format!("{doing} answers"), Duration::from_secs(30), || {
            host.enter(|| get("127.0.0.1", Duration::from_secs(1)))
                .is_ok_and(|answer| answer.is_ok_and(|name| name == host.name()))
        })?;
        Ok(server)
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Name of the host it stands on.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.listen
    }

    /// Kills it.
    pub fn kill(mut self) {
        process::signal(self.pid(), Signal::SIGKILL);
        drop(self.child.wait());
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        process::signal(self.pid(), Signal::SIGKILL);
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn nginx_conf(directory: &Path, log: &Path) -> String {
    let (directory, log) = (directory.display(), log.display());
    format!(
        "daemon off; master_process off; user root; pid {directory}/pid; error_log {log};\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; keepalive_timeout 0; reset_timedout_connection on;\n\
         client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;\n\
         fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;\n\
         server {{ listen 80; listen [::]:80; root {directory}/pages; }} }}\n"
    )
}

/// One request over a new connection from where the calling thread stands; the answer without its line end.
pub fn get(host: &str, within: Duration) -> Result<String, Failure> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .timeout_global(Some(within))
            .max_idle_connections(0)
            .proxy(None)
            .build(),
    );
    let doing = format!("GET http://{host}/");
    let mut answer =
        agent.get(format!("http://{host}/")).call().map_err(|cause| Failure::instrument(&doing, cause))?;
    let body = answer.body_mut().read_to_string().map_err(|cause| Failure::instrument(&doing, cause))?;
    Ok(body.trim_end().to_owned())
}

/// A client that asks again and again until [`Load::finish`].
pub struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
    thread: JoinHandle<Result<(), Failure>>,
}

/// One request of a load.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it was sent.
    pub at: Instant,
    /// When its answer, or its failure, was there.
    pub done: Instant,
    /// Which server answered, or why none did.
    pub outcome: Result<String, Failure>,
}

impl Load {
    /// Asks `vip` from `host`, a request every `interval`, one at a time, each given up after `within`.
    pub fn start(host: &Host, vip: &str, interval: Duration, within: Duration) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, list, vip) = (Arc::clone(&stop), Arc::clone(&requests), vip.to_owned());
        let thread = host.spawn_thread(move || {
            while !seen.load(Ordering::Relaxed) {
                let at = now();
                let outcome = get(&vip, within);
                let request = Request { at, done: now(), outcome };
                list.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                pause(interval.saturating_sub(at.elapsed()));
            }
        })?;
        Ok(Self { stop, requests, thread })
    }

    /// Requests so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops asking and returns every request.
    pub fn finish(self) -> Result<Vec<Request>, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::new("the client ended"))??;
        Ok(self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Who answered how many of these requests.
#[must_use]
pub fn answers(requests: &[Request]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for name in requests.iter().filter_map(|request| request.outcome.as_ref().ok()) {
        *count.entry(name.clone()).or_default() += 1;
    }
    count
}

/// Requests that got no answer.
#[must_use]
pub fn lost(requests: &[Request]) -> Vec<&Request> {
    requests.iter().filter(|request| request.outcome.is_err()).collect()
}
