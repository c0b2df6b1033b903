//! Prints `docs/compatibility.md`: `cargo run -p parent --example compatibility > docs/compatibility.md`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(parent::compatibility::page().as_bytes())
}
