//! Header edits, ready to be applied: names and fixed values are parsed once, when a snapshot is made.

use gateway_config::{HeaderEdits, HeaderPiece, HeaderTemplate, Variable};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Header edits, ready to be applied.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, Value)>,
    add: Vec<(HeaderName, Value)>,
}

#[derive(Debug)]
enum Value {
    Fixed(HeaderValue),
    Template(Vec<HeaderPiece>),
}

impl Edits {
    pub(crate) fn new(written: &HeaderEdits) -> Self {
        // Names and texts are legal by construction of the configuration.
        let value = |template: &HeaderTemplate| match &template.pieces[..] {
            [HeaderPiece::Text(text)] => HeaderValue::from_str(text).ok().map(Value::Fixed),
            pieces => Some(Value::Template(pieces.to_vec())),
        };
        let entry = |(name, template): &(std::sync::Arc<str>, HeaderTemplate)| {
            Some((name.parse().ok()?, value(template)?))
        };
        Self {
            remove: written.remove.iter().filter_map(|name| name.parse().ok()).collect(),
            set: written.set.iter().filter_map(entry).collect(),
            add: written.add.iter().filter_map(entry).collect(),
        }
    }

    /// `fill` writes what a variable stands for. What turns out to be no legal value is nothing: a header that was to be
    /// set to it is gone, so that none of the sender's takes its place.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, fill: impl Fn(Variable, &mut Vec<u8>)) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            match value.filled(&fill) {
                Some(value) => drop(headers.insert(name, value)),
                None => drop(headers.remove(name)),
            }
        }
        for (name, value) in &self.add {
            if let Some(value) = value.filled(&fill) {
                headers.append(name, value);
            }
        }
    }
}

impl Value {
    /// `None` if what was filled in is no legal header value.
    fn filled(&self, fill: &impl Fn(Variable, &mut Vec<u8>)) -> Option<HeaderValue> {
        let pieces = match self {
            Self::Fixed(value) => return Some(value.clone()),
            Self::Template(pieces) => pieces,
        };
        let mut text = Vec::new();
        for piece in pieces {
            match piece {
                HeaderPiece::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                HeaderPiece::Variable(variable) => fill(*variable, &mut text),
            }
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
    }
}

#[cfg(test)]
#[path = "edits_tests.rs"]
mod tests;
