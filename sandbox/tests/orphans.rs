//! Reaping of orphans, as PID 1 must: alone in this file, because it waits for every child of its process.

use std::io::Read;
use std::process::{Command, Stdio};

use sandbox::system::process::{Ending, pidfd_open, reap_any, wait_pidfd};

#[test]
#[expect(clippy::zombie_processes, reason = "waited for through its pidfd, which is what is tested")]
fn orphans_are_reaped_and_an_owned_child_is_left_to_its_owner() {
    use std::os::fd::AsFd;
    nix::sys::prctl::set_child_subreaper(true).expect("subreaper");
    assert_eq!(reap_any(&[]).expect("no child"), [0; 0]);
    // The shell ends at once; its background child lives until its input ends, then is ours.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec 3<&0; (read x <&3; exit 7) & echo $!"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("shell");
    let mut output = String::new();
    let mut stdout = shell.stdout.take().expect("stdout");
    let mut byte = [0_u8; 1];
    while stdout.read(&mut byte).expect("read") == 1 && byte != *b"\n" {
        output.push(char::from(byte[0]));
    }
    let orphan: i32 = output.parse().expect("pid");
    let owned = i32::try_from(shell.id()).expect("pid");
    let pidfd = pidfd_open(owned).expect("pidfd");
    let mut ending = None;
    while ending.is_none() {
        ending = wait_pidfd(pidfd.as_fd()).expect("waitid");
    }
    assert_eq!(ending, Some(Ending::Exited(0)));
    assert_eq!(reap_any(&[owned]).expect("still running"), [0; 0]);
    drop(shell.stdin.take());
    let mut reaped = Vec::new();
    while reaped.is_empty() {
        reaped = reap_any(&[]).expect("reaped");
    }
    assert_eq!(reaped, [orphan]);
    assert_eq!(wait_pidfd(pidfd.as_fd()).expect_err("already reaped").raw_os_error(), Some(libc::ECHILD));
}
