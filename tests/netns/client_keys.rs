//! What `SSL` shows to a server that asks for a certificate, when its key is encrypted.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use nix::sys::signal::Signal;
use tests::lab::failure::require;
use tests::lab::subject::install_ours;
use tests::lab::{Director, Failure, Host, Lab, Lan, Subject, sandboxed, wait_until};

use super::real_servers::{FIRST, Server, service};

const DIRECTORY: &str = "/run/lab/servers";

/// A key, the certificate of it that servers trust, and the key twice more, encrypted in both forms.
fn write_keys(host: &Host) -> Result<(), Failure> {
    fs::create_dir_all(DIRECTORY).map_err(|cause| Failure::instrument("making keys", cause))?;
    let commands = [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=d1 \
         -keyout key -out cert",
        "pkcs8 -topk8 -in key -out new.key -passout pass:Open-5esame",
        "ec -in key -aes256 -out old.key -passout pass:Open-5esame",
    ];
    for command in commands {
        let line = format!("cd {DIRECTORY} && umask 077 && openssl {command}");
        host.run("sh", &["-c", &line])?;
    }
    Ok(())
}

fn config(key: &str, password: &str) -> String {
    let block = format!("SSL {{\n certificate {DIRECTORY}/cert\n key {DIRECTORY}/{key}\n {password}\n}}\n");
    block + &service(&[(449, "SSL_GET { alpha\n url { path / } }")])
}

fn encrypted(lab: &Lab, key: &str) -> Result<(), Failure> {
    let lan = Lan::new(&[("d1", 1), ("s1", 11)])?;
    let (d1, s1) = (lan.host("d1")?, lan.host("s1")?);
    write_keys(s1)?;
    let asks = ["s_server", "-www", "-accept", "10.77.0.11:449", "-cert", "cert", "-key", "key"];
    let strict = [&asks[..], &["-CAfile", "cert", "-Verify", "1", "-verify_return_error"]].concat();
    let _server = Server::start(s1, Path::new(DIRECTORY), "openssl", &strict)?;
    wait_until("port 449 is served", FIRST, || {
        s1.enter(|| TcpStream::connect("10.77.0.11:449")).is_ok_and(|stream| stream.is_ok())
    })?;
    let opened = config(key, "password Open-5esame");
    let director = Director::start(lab, d1, Subject::Ours, &opened, &[])?;
    let up = "Remote Web server [10.77.0.11]:tcp:449 succeed on service.";
    wait_until(up, FIRST, || director.logged(up) > 0)
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    let printed = director.ctl(&["config", "print", "/run/lab/d1.conf"])?;
    require(printed.contains(key) && !printed.contains("5esame"), || printed.clone())?;

    // What the password doesn't open leaves the old configuration, and is no word for a log.
    director.write_config(d1, &config(key, "password Wrong-5esame"))?;
    director.signal(Signal::SIGHUP);
    let refused = format!("{key} is not opened by the password of SSL");
    wait_until(&refused, FIRST, || director.logged(&refused) > 0)
        .map_err(|failure| Failure::new(format!("{failure}\n{}", director.log())))?;
    require(!director.log().contains("5esame"), || director.log())?;
    let program = install_ours()?.join("keepalived");
    let program = program.to_string_lossy();
    let test = ["-t", "-f", "/run/lab/d1.conf", "--run-dir", "/run/lab/t"];
    require(d1.run(&program, &test).is_err(), || "a wrong password passes -t".to_owned())?;
    director.write_config(d1, &config(key, ""))?;
    require(d1.run(&program, &test).is_err(), || "no password passes -t".to_owned())?;
    director.write_config(d1, &opened)?;
    d1.run(&program, &test)?;
    director.stop().map(|_| ())
}

#[test]
fn an_encrypted_key_is_shown_to_servers_that_ask() {
    sandboxed(90, |lab| encrypted(lab, "new.key"));
}

#[test]
fn a_key_encrypted_in_the_older_form_is_shown_too() {
    sandboxed(90, |lab| encrypted(lab, "old.key"));
}
