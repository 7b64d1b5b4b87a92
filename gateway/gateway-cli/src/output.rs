//! Writing to the terminal.

use std::io::{self, ErrorKind, Write};

/// Writes to standard output. A reader that went away (`gateway schema | head`) is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes to standard error. Where that cannot be written there is nobody to tell, and the exit code still says how it
/// ended.
pub(crate) fn report(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The message as it goes to standard error. Reports on configuration are rendered with their own `error:` lines.
pub(crate) fn as_error(message: &str) -> String {
    if message.starts_with("error") { message.to_owned() } else { format!("error: {message}") }
}

/// A number of bytes for people: exact below 1 KiB, one decimal above.
pub(crate) fn size(bytes: usize) -> String {
    const KIB: f64 = 1024.0;
    let amount = bytes as f64;
    if amount < KIB {
        format!("{bytes} B")
    } else if amount < KIB * KIB {
        format!("{:.1} KiB", amount / KIB)
    } else {
        format!("{:.1} MiB", amount / KIB / KIB)
    }
}

/// `1 route`, `2 routes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 * 1024 * 1024), "3.0 MiB");
        assert_eq!(count(1, "route"), "1 route");
        assert_eq!(count(0, "route"), "0 routes");
    }

    #[test]
    fn a_rendered_report_is_not_prefixed_again() {
        assert_eq!(as_error("error: unknown field"), "error: unknown field");
        assert_eq!(as_error("port in use"), "error: port in use");
    }
}
