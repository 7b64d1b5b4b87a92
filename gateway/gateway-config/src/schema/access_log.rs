//! What users write about the access log.

use crate::read::{Named, ShortOr, section};
use crate::resolved::LogTemplate;
use crate::values::{OneOf, PathText, Text, Word};

section! {
    /// Where and how access lines are written.
    AccessLog {
        /// `stdout`, `off`, or the path of a file to append to. Default: stdout.
        optional "to" to: PathText,
        /// `text`, `json`, or a format of your own. Default: text.
        optional "format" format: ShortOr<OneOf<Preset>, OwnFormat>,
    }
}

section! {
    /// A format with Envoy's command operators, such as `%REQ(:METHOD)%`: exactly one of `text` and `json`.
    OwnFormat {
        /// One line of text.
        optional "text" text: LogTemplate,
        /// Keys of one JSON object, and what stands there. One operator alone keeps its type; missing is null.
        optional "json" json: Named<Text, LogTemplate>,
    }
}

/// A format by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset {
    Text,
    Json,
}

impl Word for Preset {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}
