//! `genhash`: fetches a page once, as HTTP_GET and SSL_GET do, and prints the digest for `digest`.
//!
//! An operator's tool, so it may wait. The exit status is 0 once a fetch was tried, as with keepalived's: scripts read
//! what is printed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use checkd::genhash::{Page, any_answer};
use checkd::probe::certificate::Trust;
use checkd::probe::tls::{Session, TlsClient};
use clap::{CommandFactory, Parser};
use config::model::check::{Endpoint, HttpCheck, HttpProtocol, Sni, Tls};
use config::model::units::MonoTime;
use ipc::reactor;
use socket2::{Domain, Protocol, Socket, Type};

/// Prints the MD5 digest of a page, for `digest` of HTTP_GET and SSL_GET.
#[derive(Debug, Parser)]
#[command(name = "genhash", disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
struct Args {
    /// Use TLS.
    #[arg(short = 'S', long = "use-ssl")]
    ssl: bool,
    /// Tell the server the name that -V gives (SNI).
    #[arg(short = 'I', long = "use-sni")]
    sni: bool,
    /// Address of the server.
    #[arg(short = 's', long = "server", value_name = "ADDRESS")]
    server: Option<String>,
    /// Port of the server.
    #[arg(short = 'p', long = "port", value_name = "PORT")]
    port: Option<String>,
    /// Path of the page.
    #[arg(short = 'u', long = "url", value_name = "PATH")]
    url: Option<String>,
    /// Name for the Host header.
    #[arg(short = 'V', long = "use-virtualhost", value_name = "NAME")]
    virtual_host: Option<String>,
    /// Print what the digest was made from, and how long it took.
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
    /// Print this and exit.
    #[arg(short = 'h', long = "help")]
    help: bool,
    /// Mark of the packets; needs the capability NET_ADMIN.
    #[arg(short = 'm', long = "fwmark", value_name = "MARK")]
    mark: Option<u32>,
    /// HTTP version: 1.0, 1.0c (with `Connection: close`) or 1.1.
    #[arg(short = 'P', long = "protocol", value_name = "VERSION")]
    protocol: Option<String>,
    /// Longest wait for the connection, and then for each part of the page, in seconds.
    #[arg(short = 't', long = "timeout", value_name = "SECONDS", default_value_t = 5)]
    timeout: u64,
}

/// A request that can be made.
struct Plan {
    target: SocketAddr,
    check: HttpCheck,
    mark: Option<u32>,
}

/// The one trouble with a page that keeps standard output clean.
const NO_DATA: &str = "no data received from remote webserver";

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) if !args.help => args,
        Ok(_) => return usage(""),
        Err(problem) => return usage(&problem.to_string()),
    };
    let plan = match plan(&args) {
        Ok(plan) => plan,
        Err(problem) => return usage(&problem),
    };
    let Some(path) = args.url else { return usage("") };
    let started = reactor::now();
    let mut output = Vec::new();
    let mut page = Page::start(&plan.check, any_answer(&path, args.virtual_host), &mut output);
    let text = match fetch(&plan, &path, &mut page, output) {
        Ok(()) => page.report(args.verbose),
        Err(problem) if problem == NO_DATA => {
            print(&mut io::stderr(), &format!("{problem}\n"));
            String::new()
        }
        Err(problem) => format!("{problem}\n"),
    };
    let mut text = text;
    if args.verbose {
        let micros = reactor::now().since(started).as_micros();
        text.push_str(&format!("Global response time for [{path}] = {micros} usecs\n"));
    }
    print(&mut io::stdout(), &text);
    ExitCode::SUCCESS
}

fn plan(args: &Args) -> Result<Plan, String> {
    let (Some(server), Some(port)) = (&args.server, &args.port) else { return Err(String::new()) };
    let port: u16 = port.parse().map_err(|_| format!("invalid port number '{port}'\n"))?;
    let address: IpAddr = server.parse().map_err(|_| format!("server should be an IP, not {server}\n"))?;
    let protocol = match args.protocol.as_deref() {
        None | Some("1.0") => HttpProtocol::Http10,
        Some("1.0c" | "1.0C") => HttpProtocol::Http10Close,
        Some("1.1") => HttpProtocol::Http11,
        Some(other) => return Err(format!("invalid HTTP protocol version '{other}'\n")),
    };
    let sni = if args.sni { Sni::VirtualHost } else { Sni::Off };
    let target = SocketAddr::new(address, port);
    let timeout = Duration::from_secs(args.timeout.clamp(1, 4_294));
    let check = HttpCheck {
        endpoint: Endpoint::new(target, timeout),
        tls: args.ssl.then_some(Tls { sni, verify: None, shown: None }),
        protocol,
        urls: Vec::new(),
        fast_recovery: false,
    };
    Ok(Plan { target, check, mark: args.mark })
}

/// Fetches the page; the problem is for people.
fn fetch(plan: &Plan, path: &str, page: &mut Page, request: Vec<u8>) -> Result<(), String> {
    let mut stream = connect(plan).map_err(|_| "Connection failed".to_owned())?;
    let mut tls = match &plan.check.tls {
        None => None,
        Some(settings) => {
            let mut trust = Trust::new(Arc::default());
            let client =
                TlsClient::new(&mut trust, settings).ok_or_else(|| "TLS could not begin".to_owned())?;
            let url = any_answer(path, page.virtual_host().map(str::to_owned));
            Some(Session::start(&client, &plan.check, &url, &request).map_err(|why| why.to_string())?)
        }
    };
    let mut output = if tls.is_some() { Vec::new() } else { request };
    let mut buffer = vec![0; 16 * 1024];
    let mut deadline = reactor::now() + plan.check.endpoint.timeout;
    loop {
        if let Some(tls) = &mut tls {
            tls.output(&mut output);
        }
        stream.write_all(&output).map_err(|why| format!("Cannot send request: {why}"))?;
        output.clear();
        let bytes = read(&mut stream, &mut buffer, deadline)?;
        deadline = reactor::now() + plan.check.endpoint.timeout;
        let mut plain = Vec::new();
        let (complete, ended) = match &mut tls {
            None => (page.receive(bytes), bytes.is_empty()),
            Some(tls) => {
                let state = tls.receive(bytes, &mut plain);
                let complete = page.receive(&plain);
                if let (Err(why), Ok(false)) = (state, &complete) {
                    return Err(why.to_string());
                }
                (complete, bytes.is_empty() || tls.has_ended())
            }
        };
        if complete.map_err(|why| why.to_string())? {
            return Ok(());
        }
        if ended {
            return page.close().map_err(|_| NO_DATA.to_owned());
        }
    }
}

fn connect(plan: &Plan) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(plan.target), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(mark) = plan.mark {
        socket.set_mark(mark)?;
    }
    socket.connect_timeout(&plan.target.into(), plan.check.endpoint.timeout)?;
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

fn read<'b>(stream: &mut TcpStream, buffer: &'b mut [u8], deadline: MonoTime) -> Result<&'b [u8], String> {
    loop {
        let left = deadline.since(reactor::now());
        if left.is_zero() {
            return Err("Timeout HTTP read".to_owned());
        }
        stream.set_read_timeout(Some(left)).map_err(|why| why.to_string())?;
        match stream.read(buffer) {
            Ok(got) => return Ok(buffer.get(..got).unwrap_or_default()),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            // As in a check: an answer is judged by what came before the connection broke.
            Err(_) => return Ok(&[]),
        }
    }
}

fn usage(problem: &str) -> ExitCode {
    print(&mut io::stderr(), &format!("{problem}{}", Args::command().render_long_help()));
    ExitCode::FAILURE
}

fn print(to: &mut dyn Write, text: &str) {
    let _nobody_listens = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
