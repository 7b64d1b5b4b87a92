//! Numbers, durations, sizes, names and words as people write them, each with its bounds in its type.
//!
//! Durations follow GEP-2257 of the Gateway API (`250ms`, `15s`, `1h30m`); sizes take binary (`KiB`) and decimal (`KB`)
//! units. Must never know which field a value belongs to.

use std::time::Duration;

use serde_json::{Value, json};

use crate::diagnostic::{quoted, suggestion};
use crate::read::{Problem, Scalar};

/// Longest name of a listener, route, upstream or filter, in bytes: names become metric labels and log fields.
const MAX_NAME_BYTES: usize = 255;
/// Longest free text (a body, an environment value, a path), in bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// A whole number within bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<const MIN: i64, const MAX: i64>(pub(crate) i64);

/// A duration within bounds, given in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<const MIN_MS: u64, const MAX_MS: u64>(pub(crate) Duration);

/// A size in bytes within bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A name that configuration gives to something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Name(pub(crate) String);

/// A filter's name: that of its file without `.wasm`.
#[derive(Clone, Debug)]
pub(crate) struct FilterName(pub(crate) String);

/// Any text.
#[derive(Clone, Debug)]
pub(crate) struct Text(pub(crate) String);

/// Text that says something and can be handed to the operating system.
#[derive(Clone, Debug)]
pub(crate) struct PathText(pub(crate) String);

/// Text without NUL, as the environment of a process holds it.
#[derive(Clone, Debug)]
pub(crate) struct EnvValue(pub(crate) String);

/// The name of an environment variable.
#[derive(Clone, Debug)]
pub(crate) struct EnvName(pub(crate) String);

/// A SHA-256 digest, as 64 hex digits in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Sha256(pub(crate) String);

/// The status of a redirect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedirectStatus(pub(crate) u16);

/// A share of the machine's cores within a second, as CPU time: `0.5` is half of one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores(pub(crate) Duration);

/// Yes or no.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switch(pub(crate) bool);

/// A closed set of words.
pub(crate) trait Word: Copy + 'static {
    /// Each word and what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

/// One of a closed set of words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OneOf<W>(pub(crate) W);

impl<const MIN: i64, const MAX: i64> Scalar for Whole<MIN, MAX> {
    fn expects() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(mismatch(None)),
        }
    }

    fn schema() -> Value {
        json!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

impl<const MIN_MS: u64, const MAX_MS: u64> Scalar for Span<MIN_MS, MAX_MS> {
    fn expects() -> String {
        format!("a duration from {} to {}", show_duration(MIN_MS), show_duration(MAX_MS))
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match milliseconds(text) {
            Some(ms) if (MIN_MS..=MAX_MS).contains(&ms) => Ok(Self(Duration::from_millis(ms))),
            Some(_) => Err(mismatch(None)),
            None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(mismatch(Some(format!("a duration has a unit: {}", quoted(&format!("{text}s"))))))
            }
            None => Err(mismatch(Some("durations are written `250ms`, `15s`, `5m` or `1h30m`".to_owned()))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$", "examples": ["250ms", "15s", "1h30m"]})
    }
}

impl<const MIN: u64, const MAX: u64> Scalar for Size<MIN, MAX> {
    fn expects() -> String {
        format!("a size from {} to {}", show_size(MIN), show_size(MAX))
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match bytes(text) {
            Some(size) if (MIN..=MAX).contains(&size) => Ok(Self(size)),
            Some(_) => Err(mismatch(None)),
            None => Err(mismatch(Some("sizes are written `512B`, `64KiB`, `16MiB` or `1GiB`".to_owned()))),
        }
    }

    fn schema() -> Value {
        json!({"type": ["string", "integer"], "pattern": "^[0-9]+ ?(B|[KMG]iB|[kKMG]B)?$", "examples": ["64KiB", "16MiB"]})
    }
}

impl Scalar for Name {
    fn expects() -> String {
        "a name".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"\"'`\\,".contains(&byte);
        match text {
            "" => Err(because("is empty", None)),
            _ if text.len() > MAX_NAME_BYTES => {
                Err(because(&format!("is longer than {MAX_NAME_BYTES} bytes"), None))
            }
            _ if text.bytes().all(is_legal) => Ok(Self(text.to_owned())),
            _ => {
                let help = "names are ASCII letters, digits and signs such as `-`, `_`, `.`, without spaces or quotes";
                Err(mismatch(Some(help.to_owned())))
            }
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES, "pattern": "^[^\\s\"'`\\\\,]+$"})
    }
}

impl Scalar for FilterName {
    fn expects() -> String {
        "the name of a filter".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains('/') || text.ends_with(".wasm") {
            return Err(mismatch(Some(
                "a filter is named without folder and ending, as `jwt-auth`".to_owned(),
            )));
        }
        Name::parse(text).map(|name| Self(name.0))
    }

    fn schema() -> Value {
        <Name as Scalar>::schema()
    }
}

impl Scalar for Text {
    fn expects() -> String {
        "text".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match text.len() > MAX_TEXT_BYTES {
            true => Err(because(&format!("is longer than {}", show_size(MAX_TEXT_BYTES as u64)), None)),
            false => Ok(Self(text.to_owned())),
        }
    }

    fn schema() -> Value {
        json!({"type": ["string", "number", "boolean"]})
    }
}

impl Scalar for PathText {
    fn expects() -> String {
        "a path".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "" => Err(because("is empty", None)),
            _ if text.contains('\0') => Err(mismatch(None)),
            _ => Text::parse(text).map(|text| Self(text.0)),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "minLength": 1})
    }
}

impl Scalar for EnvValue {
    fn expects() -> String {
        "text without NUL".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match text.contains('\0') {
            true => Err(mismatch(None)),
            false => Text::parse(text).map(|text| Self(text.0)),
        }
    }

    fn schema() -> Value {
        <Text as Scalar>::schema()
    }
}

impl Scalar for EnvName {
    fn expects() -> String {
        "the name of an environment variable".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match text.is_empty() || text.len() > MAX_NAME_BYTES || text.contains(['=', '\0']) {
            true => Err(mismatch(Some(format!("1 to {MAX_NAME_BYTES} bytes without `=`")))),
            false => Ok(Self(text.to_owned())),
        }
    }

    fn schema() -> Value {
        json!({"type": "string"})
    }
}

impl Scalar for Sha256 {
    fn expects() -> String {
        "a SHA-256 digest of 64 hex digits".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(mismatch(Some("`sha256sum NAME.wasm` prints it".to_owned()))),
        }
    }

    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"})
    }
}

impl Scalar for RedirectStatus {
    fn expects() -> String {
        "301, 302, 303, 307 or 308".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let help = "301 and 308 are kept by browsers, 302 and 307 are not; 307 and 308 keep method and body";
        match text.parse() {
            Ok(status @ (301 | 302 | 303 | 307 | 308)) => Ok(Self(status)),
            _ => Err(mismatch(Some(help.to_owned()))),
        }
    }

    fn schema() -> Value {
        json!({"enum": [301, 302, 303, 307, 308]})
    }
}

/// In thousandths of a core.
const MIN_CORES: u64 = 1;
const MAX_CORES: u64 = 1_024_000;

impl Scalar for Cores {
    fn expects() -> String {
        format!("a number of cores from {} to {}", MIN_CORES as f64 / 1_000.0, MAX_CORES / 1_000)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let help = || {
            Some(
                "cores are written `1`, `0.5` or `0.025`, with up to three digits after the point".to_owned(),
            )
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| {
            !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(part) || part.len() > 3 {
            return Err(mismatch(help()));
        }
        // Both are a few digits.
        let thousandths: u64 = format!("{whole}{part:0<3}").parse().map_err(|_| mismatch(help()))?;
        match (MIN_CORES..=MAX_CORES).contains(&thousandths) {
            true => Ok(Self(Duration::from_millis(thousandths))),
            false => Err(mismatch(None)),
        }
    }

    fn schema() -> Value {
        json!({
            "type": "number",
            "minimum": MIN_CORES as f64 / 1_000.0,
            "maximum": MAX_CORES / 1_000,
        })
    }
}

impl Scalar for Switch {
    fn expects() -> String {
        "`true` or `false`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        text.parse().map(Self).map_err(|_| mismatch(None))
    }

    fn schema() -> Value {
        json!({"type": "boolean"})
    }
}

impl<W: Word> Scalar for OneOf<W> {
    fn expects() -> String {
        let words: Vec<String> = W::WORDS.iter().map(|(word, _)| quoted(word)).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "nothing".to_owned(),
        }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let known = || W::WORDS.iter().map(|(word, _)| *word);
        match W::WORDS.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Self(*value)),
            // The message lists the words already; only a near miss adds something.
            None => Err(mismatch(suggestion(text, known(), "").filter(|help| help.starts_with("did you")))),
        }
    }

    fn schema() -> Value {
        json!({"enum": W::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>()})
    }
}

/// A size with the largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fitting = units.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    fitting.map_or(format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

pub(crate) fn mismatch(help: Option<String>) -> Problem {
    Problem::Mismatch { help }
}

pub(crate) fn because(reason: &str, help: Option<String>) -> Problem {
    Problem::Because { reason: reason.to_owned(), help }
}

fn show_duration(ms: u64) -> String {
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fitting = units.iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
    match fitting {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None if ms == 0 => "0s".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// One to four parts of up to five digits and a unit (GEP-2257).
fn milliseconds(text: &str) -> Option<u64> {
    let (mut rest, mut total_ms) = (text, 0);
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        let (tail, unit_ms) = units.iter().find_map(|(unit, ms)| Some((tail.strip_prefix(unit)?, ms)))?;
        if number.len() > 5 {
            return None;
        }
        total_ms += number.parse::<u64>().ok()? * unit_ms;
        rest = tail;
        if rest.is_empty() {
            return Some(total_ms);
        }
    }
    None
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
