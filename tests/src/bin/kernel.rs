//! Runs a group of kernel scenarios where it stands: `lab-kernel GROUP ours|c`. Started inside a user-mode kernel by
//! the suite `kernel`.

use std::path::Path;
use std::process::ExitCode;

use tests::lab::Subject;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let out = std::env::var("LAB_OUT").unwrap_or_else(|_| "/run/out".to_owned());
    let subject = match arguments.get(2).map(String::as_str) {
        Some("ours") => Subject::Ours,
        Some("c") => Subject::C,
        _ => return ExitCode::from(2),
    };
    let group = arguments.get(1).map_or("", String::as_str);
    if tests::kernel::run(group, subject, Path::new(&out), &mut std::io::stdout()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
