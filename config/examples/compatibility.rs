//! Prints `docs/compatibility.md`: `cargo run -p config --example compatibility > docs/compatibility.md`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(config::compatibility_page().as_bytes())
}
