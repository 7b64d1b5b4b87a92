//! Texts with something to fill in: header values with request variables, path replacements with groups.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::diagnostic::{quoted, suggestion};
use crate::http_text::HeaderValue;
use crate::read::{Problem, Scalar};
use crate::resolved::{HeaderPiece, HeaderTemplate, PathPiece, Pattern, Variable};
use crate::values::because;

/// Begins a variable; doubled percent sign (`%%{`) stands for itself.
const OPEN: &str = "%{";

const VARIABLES: [(&str, Variable); 11] = [
    ("client_ip", Variable::ClientIp),
    ("downstream_peer", Variable::DownstreamPeer),
    ("host", Variable::Host),
    ("listener", Variable::Listener),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("request_id", Variable::RequestId),
    ("route", Variable::Route),
    ("scheme", Variable::Scheme),
    ("upstream", Variable::Upstream),
];

impl Scalar for HeaderTemplate {
    fn expects() -> String {
        HeaderValue::expects()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let HeaderValue(text) = HeaderValue::parse(text)?;
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(OPEN) {
            let (before, after) = (&rest[..at], &rest[at + OPEN.len()..]);
            if let Some(before) = before.strip_suffix('%') {
                literal.push_str(before);
                literal.push_str(OPEN);
                rest = after;
                continue;
            }
            literal.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                let help = "a variable is written `%{client_ip}`; `%%{` stands for itself".to_owned();
                return Err(because("has a `%{` without its `}`", Some(help)));
            };
            let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) else {
                let known = VARIABLES.iter().map(|(name, _)| *name);
                return Err(because(
                    &format!("names the variable {}, which there is not", quoted(name)),
                    suggestion(name, known, "variables"),
                ));
            };
            if !literal.is_empty() {
                pieces.push(HeaderPiece::Text(std::mem::take(&mut literal).into()));
            }
            pieces.push(HeaderPiece::Variable(*variable));
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(HeaderPiece::Text(literal.into()));
        }
        Ok(Self { pieces })
    }

    fn schema() -> Value {
        let names: Vec<_> = VARIABLES.iter().map(|(name, _)| format!("%{{{name}}}")).collect();
        json!({"type": ["string", "number", "boolean"], "examples": names})
    }
}

/// What replaces a path that `pattern` matched: `$1` and `${name}` are its groups, `$$` is a dollar sign.
pub(crate) fn path_pieces(text: &str, pattern: &Pattern) -> Result<Vec<PathPiece>, (String, Option<String>)> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            literal.push('$');
            rest = tail;
            continue;
        }
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (name, tail) = match after.strip_prefix('{').map(|inner| inner.split_once('}')) {
            Some(Some(named)) => named,
            None if digits > 0 => after.split_at(digits),
            Some(None) | None => {
                let help = "a group is written `$1` or `${name}`; `$$` stands for a dollar sign".to_owned();
                return Err(("has a `$` that names no group".to_owned(), Some(help)));
            }
        };
        let Some(group) = pattern.group(name) else {
            let help = match pattern.groups() {
                0 => "the expression has no groups: put the part to keep in parentheses".to_owned(),
                groups => format!("the expression has groups 1 to {groups}; `$0` is the whole path"),
            };
            let message = format!("names the group {}, which the expression does not have", quoted(name));
            return Err((message, Some(help)));
        };
        if !literal.is_empty() {
            pieces.push(PathPiece::Text(std::mem::take(&mut literal).into()));
        }
        pieces.push(PathPiece::Group(group));
        rest = tail;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(PathPiece::Text(Arc::from(literal)));
    }
    Ok(pieces)
}
