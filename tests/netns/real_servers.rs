//! Every kind of checker against the servers that operators run: nginx, OpenSSL, OpenSMTPD, dnsmasq, and servers that
//! mean harm. What is compared is the verdict, its reason and when it came.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::lab::failure::require;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, clock, pause, process, sandboxed, wait_until};

/// A first check within 1 s and `warmup 0`, its time-out of 1 s, and a loaded machine.
pub(super) const FIRST: Duration = Duration::from_secs(20);

/// One virtual server whose real servers stand on one address, each on a port of its own with one checker.
pub(super) fn service(servers: &[(u16, &str)]) -> String {
    let mut text = "virtual_server 10.77.0.50 80 {\n    delay_loop 1\n    warmup 0\n    retry 1\n    \
                    delay_before_retry 0.5\n    connect_timeout 1\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n"
        .to_owned();
    for (port, checker) in servers {
        text.push_str(&format!("    real_server 10.77.0.11 {port} {{\n        {checker}\n    }}\n"));
    }
    text + "}\n"
}

/// A server's program, which ends with the test.
pub(super) struct Server(Child);

impl Server {
    pub(super) fn start(
        host: &Host,
        directory: &Path,
        program: &str,
        arguments: &[&str],
    ) -> Result<Self, Failure> {
        let doing = format!("starting {program}");
        let log = fs::File::create(
            directory.join(format!("{}.log", program.rsplit('/').next().unwrap_or(program))),
        )
        .map_err(|cause| Failure::instrument(&doing, cause))?;
        let errors = log.try_clone().map_err(|cause| Failure::instrument(&doing, cause))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).stdin(Stdio::piped()).stdout(log).stderr(errors);
        host.spawn(&mut command).map(Self)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::signal(i32::try_from(self.0.id()).unwrap_or(0), Signal::SIGTERM);
        drop(self.0.wait());
    }
}

/// nginx on ports 80 and 443, an OpenSSL server on 444, OpenSMTPD on 25, dnsmasq on 53.
fn start_servers(host: &Host, directory: &Path) -> Result<Vec<Server>, Failure> {
    let doing = "configuring the servers";
    let failed = |cause| Failure::instrument(doing, cause);
    fs::create_dir_all(directory.join("www")).map_err(failed)?;
    fs::write(directory.join("www/index.html"), "hello, world\n").map_err(failed)?;
    let at = directory.display();
    host.run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=www.example.com",
            "-keyout",
            &format!("{at}/key"),
            "-out",
            &format!("{at}/cert"),
        ],
    )?;
    let nginx = format!(
        "daemon off; master_process off; user root; pid {at}/pid; error_log stderr;\n\
         events {{ worker_connections 128; }}\n\
         http {{ access_log off; client_body_temp_path {at}/t1; proxy_temp_path {at}/t2;\n\
         fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
         ssl_certificate {at}/cert; ssl_certificate_key {at}/key;\n\
         server {{ listen 80; listen 443 ssl; server_name www.example.com; root {at}/www;\n\
         location /moved {{ return 301 /; }} location /gone {{ return 503; }}\n\
         location /name {{ return 200 \"$ssl_server_name $host\"; }} }} }}\n"
    );
    fs::write(directory.join("nginx.conf"), nginx).map_err(failed)?;
    let smtpd = "listen on 10.77.0.11 port 25\nmatch from any for any reject\n";
    fs::write(directory.join("smtpd.conf"), smtpd).map_err(failed)?;
    Ok(vec![
        Server::start(
            host,
            directory,
            "/usr/sbin/nginx",
            &["-c", &format!("{at}/nginx.conf"), "-p", &format!("{at}")],
        )?,
        Server::start(
            host,
            directory,
            "openssl",
            &["s_server", "-www", "-accept", "10.77.0.11:444", "-cert", "cert", "-key", "key", "-tls1_2"],
        )?,
        Server::start(host, directory, "/usr/sbin/smtpd", &["-d", "-f", &format!("{at}/smtpd.conf")])?,
        Server::start(
            host,
            directory,
            "/usr/sbin/dnsmasq",
            &[
                "--no-daemon",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--user=root",
                "--port=53",
                "--listen-address=10.77.0.11",
                "--bind-interfaces",
                "--address=/www.example.com/192.0.2.7",
            ],
        )?,
    ])
}

/// Port, checker, and the line of its success. Each sets what the virtual server sets otherwise: `OWN` is [`OWN`].
const GOOD: [(u16, &str, &str); 13] = [
    (
        80,
        "HTTP_GET { OWN url {\n path /\n digest 22c3683b094136c3398391ae71b20f04\n } }",
        "Remote Web server [10.77.0.11]:tcp:80",
    ),
    (
        81,
        "HTTP_GET { OWN connect_port 80\n enable_sni\n sni_name www.example.com\n http_protocol 1.1\n \
         virtualhost www.example.com\n url {\n path /\n regex \"hello, w(or)?ld\"\n regex_stack 1 64\n }\n \
         url {\n path /moved\n status_code 301\n }\n url {\n path /gone\n \
         status_code 500-599\n } }",
        "Regex match success to [10.77.0.11]:tcp:81 url(/)",
    ),
    (443, "SSL_GET { OWN url { path / } }", "Remote Web server [10.77.0.11]:tcp:443"),
    (
        445,
        "SSL_GET { OWN connect_port 443\n enable_sni\n http_protocol 1.1\n url {\n path /name\n \
         virtualhost www.example.com\n regex \"^www.example.com www.example.com$\"\n } }",
        "Regex match success to [10.77.0.11]:tcp:445 url(/name)",
    ),
    (
        446,
        "SSL_GET { OWN connect_port 443\n enable_sni\n sni_name www.example.com\n virtualhost other.example\n \
         http_protocol 1.1\n fast_recovery\n url {\n path /name\n regex \"WWW.*OTHER[.]example\"\n \
         regex_options caseless\n regex_min_offset 0\n regex_max_offset 500\n regex_stack 1 64\n }\n \
         url {\n path /gone\n status_code 503\n regex nothing\n regex_no_match\n } }",
        "Regex match success to [10.77.0.11]:tcp:446 url(/name)",
    ),
    (444, "SSL_GET { OWN nb_get_retry 1\n url { path / } }", "Remote Web server [10.77.0.11]:tcp:444"),
    (25, "SMTP_CHECK { OWN helo_name d1.example.com }", "Remote SMTP server [10.77.0.11]:tcp:25"),
    (
        27,
        "SMTP_CHECK { host { OWN\n connect_ip 10.77.0.11\n connect_port 25 } }",
        "Remote SMTP server [10.77.0.11]:tcp:27",
    ),
    (53, "DNS_CHECK { OWN type A\n name www.example.com }", "Adding service [10.77.0.11]:tcp:53 to VS"),
    (26, "TCP_CHECK { OWN connect_port 25 }", "TCP connection to [10.77.0.11]:tcp:26"),
    (54, "UDP_CHECK { OWN connect_port 53\n payload 00 }", "UDP connection to [10.77.0.11]:"),
    (55, "PING_CHECK { OWN }", "ICMP connection to [10.77.0.11]:"),
    (
        56,
        "MISC_CHECK { OWN misc_path \"/usr/bin/test -e /run/lab/servers/nginx.conf\"\n user root }",
        "Misc check for [[10.77.0.11]:tcp:56 VS [10.77.0.50]:tcp:80] by [/usr/bin/test] succeeded.",
    ),
];

/// Stands in every checker of [`GOOD`], first of all.
const OWN: &str = "log_all_failures\n alpha\n retry 1\n delay_before_retry 0.5\n delay_loop 1\n ";

/// What the log says of a run that a retry forgives, and how often at least: the line of a server that goes down has the
/// same words for some.
const FORGIVEN: [(&str, usize); 8] = [
    ("Connection failed server [10.77.0.11]:tcp:80.", 1),
    ("Connection failed server [10.77.0.11]:tcp:443.", 1),
    ("server [10.77.0.11]:25", 4),
    ("DNS_CHECK ([10.77.0.11]:tcp:53) failed to read socket", 2),
    ("TCP connection to [10.77.0.11]:tcp:26 failed.", 1),
    ("UDP connection to [10.77.0.11]:", 2),
    ("ICMP connection to address [10.77.0.11]:", 1),
    ("by [/usr/bin/test] failed", 2),
];

fn daemons(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    let directory = Path::new("/run/lab/servers");
    let servers = start_servers(s1, directory)?;
    for port in ["80", "443", "444", "25"] {
        wait_until(&format!("port {port} is served"), Duration::from_secs(20), || {
            s1.enter(|| TcpStream::connect(format!("10.77.0.11:{port}"))).is_ok_and(|stream| stream.is_ok())
        })
        .map_err(|failure| {
            let log = fs::read_to_string(directory.join("smtpd.log")).unwrap_or_default();
            Failure::new(format!("{failure}\n{log}"))
        })?;
    }
    // Down until they have shown that they work, and nobody waits as the virtual server says.
    let checks: Vec<(u16, &str)> = GOOD.iter().map(|(port, check, _)| (*port, *check)).collect();
    let config = service(&checks)
        .replacen("delay_loop 1", "delay_loop 60", 1)
        .replacen("retry 1", "retry 7", 1)
        .replacen("delay_before_retry 0.5", "delay_before_retry 60", 1)
        .replace("OWN", OWN);
    let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
    for (port, _, line) in GOOD {
        wait_until(&format!("{line} is good"), FIRST, || director.logged(line) > 0)
            .and_then(|_| {
                let added = format!("Adding service [10.77.0.11]:tcp:{port} to VS [10.77.0.50]:tcp:80");
                wait_until(&added, FIRST, || director.logged(&added) > 0)
            })
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    }
    drop(servers);
    s1.sysctl("net.ipv4.icmp_echo_ignore_all", "1")?;
    fs::remove_file(directory.join("nginx.conf"))
        .map_err(|cause| Failure::instrument("nginx.conf", cause))?;
    for (port, ..) in GOOD {
        let removed = format!("Removing service [10.77.0.11]:tcp:{port} from VS [10.77.0.50]:tcp:80");
        wait_until(&removed, FIRST, || director.logged(&removed) > 0)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    }
    for (words, least) in FORGIVEN {
        let count = director.logged(words);
        require(count >= least, || format!("'{words}' {count} times\n{}", director.log()))?;
    }
    require(director.logged("refused by the filter") == 0, || director.log())
}

#[test]
fn the_servers_of_operators_pass_while_they_run_and_fail_when_they_end() {
    sandboxed(90, daemons);
}

type Behaviour = fn(TcpStream);

fn say(stream: &mut TcpStream, bytes: &[u8]) {
    let _gone = stream.write_all(bytes);
}

/// Reads until the other side has said this, or leaves.
fn hear(stream: &mut TcpStream, end: &[u8]) {
    let _refused = stream.set_read_timeout(Some(FIRST));
    let (mut heard, mut byte) = (Vec::new(), [0]);
    while !heard.ends_with(end) && matches!(stream.read(&mut byte), Ok(1)) {
        heard.extend(byte);
    }
}

/// The end of a request.
const REQUEST: &[u8] = b"\r\n\r\n";

/// Until the other side leaves.
fn wait_for_end(stream: &mut TcpStream) {
    let _refused = stream.set_read_timeout(Some(Duration::from_secs(20)));
    while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
}

fn drips(mut stream: TcpStream) {
    for byte in b"HTTP/1.0 200 OK\r\nX: ".iter().chain(std::iter::repeat_n(&b'x', 400)) {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        pause(Duration::from_millis(50));
    }
}

fn speaks_http2(mut stream: TcpStream) {
    hear(&mut stream, REQUEST);
    say(&mut stream, b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff");
}

fn chunked(mut stream: TcpStream) {
    hear(&mut stream, REQUEST);
    say(
        &mut stream,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello,\r\n7\r\n world\n\r\n0\r\n\r\n",
    );
}

fn endless_chunk(mut stream: TcpStream) {
    say(&mut stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n");
    while stream.write_all(&[b'x'; 65_536]).is_ok() {}
}

fn big_header(mut stream: TcpStream) {
    say(&mut stream, b"HTTP/1.0 200 OK\r\n");
    while stream.write_all(b"X-Padding: ................................................\r\n").is_ok() {}
}

fn wrong_status_line(mut stream: TcpStream) {
    hear(&mut stream, REQUEST);
    say(&mut stream, b"HTTP/1.0 OK 200\r\n\r\nbody");
}

/// What it says would be lines of their own in a log that does not escape.
fn injects(mut stream: TcpStream) {
    say(&mut stream, b"220 x\r\n");
    hear(&mut stream, b"\r\n");
    say(&mut stream, b"599 x\nKeepalived: all is well\n\x1b[2J\r\n");
}

fn silent(mut stream: TcpStream) {
    wait_for_end(&mut stream);
}

fn backtracks(mut stream: TcpStream) {
    hear(&mut stream, REQUEST);
    say(&mut stream, b"HTTP/1.0 200 OK\r\n\r\n");
    say(&mut stream, &[b'a'; 200_000]);
}

fn trickles_greeting(mut stream: TcpStream) {
    while stream.write_all(b"220-later\r\n").is_ok() {
        pause(Duration::from_millis(100));
    }
}

const HTTP: &str = "HTTP_GET { url { path / } }";

/// Port, what serves there, the checker, and the words of its verdict, `|` between those that may be; `None` is a pass.
const HOSTILE: [(u16, Behaviour, &str, Option<&str>); 11] = [
    (9001, drips, HTTP, Some("no complete answer in time")),
    (9002, speaks_http2, HTTP, Some("no data received")),
    (
        9003,
        chunked,
        "HTTP_GET { http_protocol 1.1\n url {\n path /\n regex \"^6.*hello,.*7.*world.*0\"\n regex_options dotall\n } }",
        None,
    ),
    (9004, endless_chunk, HTTP, Some("")),
    (9005, big_header, HTTP, Some("header of the answer is too long")),
    (9006, wrong_status_line, HTTP, Some("no status code")),
    (9007, injects, "SMTP_CHECK { }", Some("SMTP_CHECK Bad")),
    (9008, silent, "SSL_GET { url { path / } }", Some("no TLS handshake in time")),
    // The question may arrive before the connection is closed, or after.
    (9009, drop, HTTP, Some("no data received|connection reset")),
    (9010, backtracks, "HTTP_GET { url {\n path /\n regex \"^(a|aa|(?=b)c)+$(?!x)b\"\n } }", Some("")),
    (9011, trickles_greeting, "SMTP_CHECK { }", Some("SMTP_CHECK Read timeout")),
];

fn four_lines(mut stream: TcpStream) {
    hear(&mut stream, REQUEST);
    say(&mut stream, "HTTP/1.0 200 OK\r\n\r\nOne\ntwo\n\u{e9}\nend\n".as_bytes());
}

/// A pattern, its options, and whether the body of [`four_lines`] matches.
const PATTERNS: [(&str, &str, bool); 20] = [
    ("^one", "", false),
    ("^one", "caseless", true),
    ("^two", "", false),
    ("^two", "multiline", true),
    ("One.two", "", false),
    ("One.two", "dotall", true),
    ("two$", "multiline dollar_endonly", true),
    ("end$", "", true),
    ("end$", "dollar_endonly", false),
    ("t w o", "", false),
    ("t w o", "extended", true),
    ("two", "firstline", false),
    ("O.+e", "firstline ungreedy", true),
    ("^$", "multiline", false),
    ("^$", "multiline alt_circumflex", true),
    ("^.$", "multiline", false),
    ("^.$", "multiline utf ucp", true),
    ("(e)(?<n>.)two\\\\1", "dotall", false),
    ("(e)(?<n>.)two\\\\1", "dotall no_auto_capture", true),
    (
        "two",
        "auto_callout never_ucp never_utf no_auto_possess no_dotstar_anchor no_start_optimize \
         never_backslash_c alt_verbnames use_offset_limit",
        true,
    ),
];

fn patterns(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    let checks = PATTERNS.map(|(pattern, options, _)| {
        let options = if options.is_empty() { String::new() } else { format!("regex_options {options}\n") };
        format!("HTTP_GET {{ url {{\n path /\n regex \"{pattern}\"\n {options}}} }}")
    });
    let servers: Vec<(u16, &str)> = (9101..).zip(checks.iter().map(String::as_str)).collect();
    for (port, _) in &servers {
        serve(s1, *port, four_lines)?;
    }
    let director = Director::start(lab, d1, Subject::Ours, &service(&servers), &[])?;
    for (port, (pattern, options, matches)) in (9101..).zip(PATTERNS) {
        let verdict = match matches {
            true => format!("Remote Web server [10.77.0.11]:tcp:{port} succeed on service."),
            false => format!("Removing service [10.77.0.11]:tcp:{port} from VS [10.77.0.50]:tcp:80"),
        };
        let what = format!("'{pattern}' with '{options}': {verdict}");
        wait_until(&what, FIRST, || director.logged(&verdict) > 0)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    }
    Ok(())
}

#[test]
fn options_of_regex_decide_what_a_body_is() {
    sandboxed(60, patterns);
}

fn serve(host: &Host, port: u16, behaviour: Behaviour) -> Result<(), Failure> {
    let listener = host
        .enter(|| TcpListener::bind(("10.77.0.11", port)))?
        .map_err(|cause| Failure::instrument(&format!("listening on {port}"), cause))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || behaviour(stream));
        }
    });
    Ok(())
}

fn hostile(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    for (port, behaviour, ..) in HOSTILE {
        serve(s1, port, behaviour)?;
    }
    // A firewall that drops, and a DNS server whose answers are none.
    d1.ip("route add blackhole 198.51.100.0/24\nroute add 203.0.113.1/32 via 10.77.0.99 dev eth0\n")?;
    let dns = s1
        .enter(|| UdpSocket::bind("10.77.0.11:53"))?
        .map_err(|cause| Failure::instrument("listening on 53", cause))?;
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((got, from)) = dns.recv_from(&mut question) {
            let mut answer = question.get(..got).unwrap_or_default().to_vec();
            if let Some(id) = answer.first_mut() {
                *id ^= 0xff;
            }
            let _gone = dns.send_to(&answer, from);
        }
    });
    let mut servers: Vec<(u16, &str)> = HOSTILE.iter().map(|(port, _, check, _)| (*port, *check)).collect();
    servers.push((9050, "TCP_CHECK { connect_ip 203.0.113.1 }"));
    servers.push((53, "DNS_CHECK { type A\n name www.example.com }"));
    let start = clock::now();
    let director = Director::start(lab, d1, Subject::Ours, &service(&servers), &[])?;
    let reasons = HOSTILE.iter().map(|(port, _, _, reason)| (*port, *reason));
    let others = [(9050, Some("")), (53, Some("read timeout from socket"))];
    for (port, reason) in reasons.chain(others) {
        let Some(reason) = reason else { continue };
        let removed = format!("Removing service [10.77.0.11]:tcp:{port} from VS [10.77.0.50]:tcp:80");
        wait_until(&removed, FIRST, || director.logged(&removed) > 0)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
        let log = director.log();
        let target = format!(":{port}");
        let mut said = log.lines().filter(|line| line.contains(&target));
        let told = port == 9050 || said.any(|line| reason.split('|').any(|words| line.contains(words)));
        require(told, || format!("port {port}: nothing says '{reason}'\n{log}"))?;
    }
    // Start of the suite, a second to the first check, and 1 s to connect and 1 s for everything else: nothing here waits
    // for as long as a server has to say something.
    require(start.elapsed() < 2 * FIRST, || format!("all verdicts took {:?}", start.elapsed()))?;
    let passing = director.logged("Remote Web server [10.77.0.11]:tcp:9003 succeed on service.");
    require(passing > 0, || director.log())?;
    require(!director.log().contains("\nKeepalived: all is well"), || director.log())?;
    let checkd = director.wait_daemon("checkd")?;
    let peak = process::status_field(checkd, "VmHWM").unwrap_or_default();
    let kib: u64 = peak.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
    require(kib < 32 * 1024, || format!("checkd grew to {peak}"))?;
    require(director.logged("refused by the filter") == 0, || director.log())
}

#[test]
fn hostile_servers_get_their_verdict_in_time_and_cost_little() {
    sandboxed(60, hostile);
}

/// Answers over TLS and closes without a word of leave.
const RUDE: &str = "import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('cert', 'key')
context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
listener = socket.create_server(('10.77.0.11', 449))
def serve():
    stream = context.wrap_socket(listener.accept()[0], server_side=True, suppress_ragged_eofs=False)
    path = stream.recv(4096).split()[1].decode()
    if path == '/bare':
        stream.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhello')
        return stream.close()
    stream.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello')
    try:
        stream.recv(1)
        print(path, 'took leave', flush=True)
    except OSError:
        print(path, 'went', flush=True)
while True:
    try:
        serve()
    except OSError:
        pass
";

fn leaves(lab: &Lab) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    let directory = Path::new("/run/lab/servers");
    let _servers = start_servers(s1, directory)?;
    let _rude = Server::start(s1, directory, "/usr/bin/python3", &["-c", RUDE])?;
    for port in ["443", "449"] {
        wait_until(&format!("port {port} is served"), Duration::from_secs(20), || {
            s1.enter(|| TcpStream::connect(format!("10.77.0.11:{port}"))).is_ok_and(|stream| stream.is_ok())
        })?;
    }
    let config = service(&[
        (451, "SSL_GET { alpha\n connect_port 449\n url { path /1 } }"),
        (452, "SSL_GET { alpha\n connect_port 449\n tls_compliant\n url { path /2 } }"),
        (453, "SSL_GET { alpha\n connect_port 449\n url {\n path /3\n tls_compliant\n } }"),
        (454, "SSL_GET { alpha\n connect_port 443\n tls_compliant\n url { path / } }"),
        (455, "SSL_GET { alpha\n connect_port 449\n tls_compliant\n url { path /bare } }"),
    ]);
    let director = Director::start(lab, d1, Subject::Ours, &config, &[])?;
    for port in 451..=455 {
        let line = format!("Adding service [10.77.0.11]:tcp:{port} to VS");
        wait_until(&line, FIRST, || director.logged(&line) > 0)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    }
    let heard = || fs::read_to_string(directory.join("python3.log")).unwrap_or_default();
    for line in ["/1 went", "/2 took leave", "/3 took leave"] {
        wait_until(line, FIRST, || heard().contains(line))
            .map_err(|failure| Failure::new(format!("{failure}\n{}", heard())))?;
    }
    Ok(())
}

#[test]
fn an_end_without_leave_is_no_failure_and_tls_compliant_takes_leave() {
    sandboxed(60, leaves);
}
