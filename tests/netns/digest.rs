//! `genhash` beside Debian's: the same digest and the same words for the same server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use tests::lab::failure::require;
use tests::lab::sandbox::build_directory;
use tests::lab::{Failure, Host, Lan, sandboxed};

const PORT: u16 = 8080;

/// What a program prints, and its exit status.
fn printed(host: &Host, program: &str, arguments: &[&str]) -> Result<(String, Option<i32>), Failure> {
    let mut command = Command::new(program);
    command.args(["-s", "127.0.0.1", "-p", "8080"]).args(arguments);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let doing = format!("{program} {arguments:?}");
    let output = host.enter(|| command.output())?.map_err(|cause| Failure::instrument(&doing, cause))?;
    // The time differs from one run to the next, and keepalived's dump of the body has a title only when it comes
    // together with the header.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = text
        .lines()
        .filter(|line| !line.starts_with("Global response") && !line.contains("[        HTML Buffer"))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>();
    Ok((text.join("\n"), output.status.code()))
}

/// Answers with what it was asked, so that differing requests give differing digests.
fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        request.extend(byte);
    }
    let status = if request.starts_with(b"GET /missing") { "404 Not Found" } else { "200 OK" };
    drop(stream.write_all(format!("HTTP/1.1 {status}\r\nX: y\r\n\r\n").as_bytes()));
    drop(stream.write_all(&request));
}

#[test]
fn digests_and_dumps_are_those_of_keepalived() {
    sandboxed(60, |_| {
        let lan = Lan::new(&[("d1", 1)])?;
        let d1 = lan.host("d1")?;
        let ours = build_directory().join("genhash");
        let ours = ours.to_string_lossy();
        let both = |arguments: &[&str]| -> Result<(), Failure> {
            let (mine, theirs) =
                (printed(d1, &ours, arguments)?, printed(d1, "/usr/bin/genhash", arguments)?);
            require(mine == theirs, || format!("{arguments:?}: ours {mine:?}\ntheirs {theirs:?}"))
        };
        both(&["-u", "/"])?;
        let listener = d1
            .enter(|| TcpListener::bind(("127.0.0.1", PORT)))?
            .map_err(|cause| Failure::instrument("a server", cause))?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        both(&["-u", "/"])?;
        both(&["-u", "/missing?a=b"])?;
        both(&["-v", "-u", "/page"])?;
        both(&["--url", "/", "--protocol", "1.1", "--use-virtualhost", "www.example.org"])?;
        both(&["-P", "1.0c", "-u", "/"])?;
        both(&["-P", "3", "-u", "/"])?;
        both(&[])
    });
}
