//! The peers' side of a bench: their workers, in Python.

use std::process::Command;

/// A worker in Python, by `$UPNEXT_PYTHON` or `python3`, at PyTorch's best settings.
#[must_use]
pub(crate) fn python(script: &str, arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("UPNEXT_PYTHON").unwrap_or_else(|| "python3".into()));
    command.arg(format!("{}/benches/peers/{script}", env!("CARGO_MANIFEST_DIR")));
    command.args(arguments.split_whitespace()).env("THP_MEM_ALLOC_ENABLE", "1");
    command
}
