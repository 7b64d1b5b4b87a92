//! Owns the way from the plugin's configuration (JSON) to the filter's own type, and the errors on that way. Errors name
//! the field and what was expected, and never repeat a value: configurations hold secrets, and errors are logged.

use std::any::TypeId;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::de::Error as _;
use serde::de::value::{Error as Unexpected, MapDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use crate::error::HostError;
use crate::host;

/// The configuration of a filter that has none: empty, or `{}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A time as people write it: `250ms`, `10s`, `5m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

/// Text that must not be seen: written as `{secret: NAME}` in the gateway's manifest, whose `secrets` say where it comes
/// from. Has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret(..)")
    }
}

/// Units of a [`TimeSpan`], in milliseconds; the longer name comes first where one ends like another.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = UNITS.iter().find_map(|(unit, milliseconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*milliseconds).map(Duration::from_millis)
        });
        parsed
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected a time such as `250ms`, `10s`, `5m` or `24h`"))
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The host does not hand it over.
    #[error("configuration: {0}")]
    Unreadable(#[from] HostError),
    /// It is not JSON.
    #[error("configuration is not JSON: {problem} at line {line} column {column}")]
    Syntax {
        /// What the parser expected.
        problem: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
    /// It is JSON, and some field is not what it should be.
    #[error("configuration: {}{problem}", prefix(field))]
    Invalid {
        /// The path of the field, such as `consumers[0].keys`; empty for the whole.
        field: String,
        /// What is wrong and what was expected.
        problem: String,
    },
}

impl ConfigError {
    /// For the checks that a type cannot express. `problem` says what is wrong and what was expected, without the
    /// value if that may be a secret.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }
}

/// Reads the plugin's configuration from the host; only while the host configures the plugin. No configuration reads
/// as `{}`.
///
/// # Errors
/// It cannot be read, is not JSON, or does not fit `T`.
pub(crate) fn config<T: DeserializeOwned + 'static>() -> Result<T, ConfigError> {
    parse(&host::plugin_configuration()?)
}

pub(crate) fn parse<T: DeserializeOwned + 'static>(text: &[u8]) -> Result<T, ConfigError> {
    let text = if text.trim_ascii().is_empty() { b"{}" } else { text.trim_ascii() };
    // Known when compiled: a filter without configuration needs no parser.
    if TypeId::of::<T>() == TypeId::of::<NoConfig>() {
        let nothing: MapDeserializer<'_, _, Unexpected> =
            MapDeserializer::new(std::iter::empty::<((), ())>());
        let none = if text == b"{}" { T::deserialize(nothing).ok() } else { None };
        return none.ok_or_else(|| ConfigError::invalid("", "this filter has none; leave it out"));
    }
    serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        let problem = without_value(message.strip_suffix(&place).unwrap_or(&message));
        match error.classify() {
            Category::Data => ConfigError::invalid(path_at(text, line, column), problem),
            Category::Syntax | Category::Eof | Category::Io => ConfigError::Syntax { problem, line, column },
        }
    })
}

fn prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("`{field}`: ") }
}

/// serde writes `invalid type: string "the value", expected a sequence`, and the like for values and variants; this drops
/// the value.
pub(crate) fn without_value(message: &str) -> String {
    let shortened = || {
        let (found, expected) = message.rsplit_once(", expected ")?;
        if found.starts_with("unknown variant ") {
            return Some(format!("unknown variant, expected {expected}"));
        }
        let (what, value) = found.split_once(": ").filter(|(what, _)| what.starts_with("invalid "))?;
        let kind = value.split([' ', '"', '`']).next().unwrap_or(value);
        Some(format!("{what}: {kind}, expected {expected}"))
    };
    shortened().unwrap_or_else(|| message.to_owned())
}

/// What encloses a place in a JSON text.
enum Frame {
    Object { key: Option<String> },
    Array { index: usize },
}

/// The path of the field at which the parser stopped. Everything before that place was well-formed, so looking at
/// brackets, commas and strings is enough.
fn path_at(text: &[u8], line: usize, column: usize) -> String {
    let line_start: usize =
        text.split_inclusive(|&b| b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let mut bytes = text.iter().take(line_start + column);
    let mut frames = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' => frames.push(Frame::Object { key: None }),
            b'[' => frames.push(Frame::Array { index: 0 }),
            b'}' | b']' => drop(frames.pop()),
            b',' => match frames.last_mut() {
                Some(Frame::Object { key }) => *key = None,
                Some(Frame::Array { index }) => *index += 1,
                None => {}
            },
            b'"' => {
                let string = rest_of_string(&mut bytes);
                if let Some(Frame::Object { key: key @ None }) = frames.last_mut() {
                    *key = Some(string);
                }
            }
            _ => {}
        }
    }
    render(&frames)
}

fn rest_of_string<'a>(bytes: &mut impl Iterator<Item = &'a u8>) -> String {
    let mut string = Vec::new();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => string.extend(bytes.next()),
            _ => string.push(byte),
        }
    }
    String::from_utf8_lossy(&string).into_owned()
}

fn render(frames: &[Frame]) -> String {
    let mut path = String::new();
    for frame in frames {
        match frame {
            Frame::Object { key: None } => {}
            Frame::Object { key: Some(key) } if path.is_empty() => path.push_str(key),
            Frame::Object { key: Some(key) } => path.extend([".", key]),
            Frame::Array { index } => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
