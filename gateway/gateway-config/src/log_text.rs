//! Access log formats with command operators, as Envoy's users have them in their configurations.
//!
//! Source: Envoy's documentation, "Access logging, command operators".

use std::sync::Arc;

use serde_json::{Value, json};

use crate::diagnostic::{quoted, suggestion};
use crate::match_text::StateName;
use crate::read::{Problem, Scalar};
use crate::resolved::{
    LogFact, LogOperator, LogPiece, LogTemplate, LoggedHeader, LoggedState, TIME_LETTERS, TimePiece,
};
use crate::values::{Text, because};

const WITH_ARGUMENTS: [&str; 5] = ["START_TIME", "REQ", "RESP", "TRAILER", "FILTER_STATE"];
/// Of requests; responses have `:status`.
const PSEUDO_HEADERS: [&str; 4] = [":authority", ":method", ":path", ":scheme"];
/// Operators of Envoy that ask for what there is not here, and why.
const REFUSED: [(&str, &str); 5] = [
    ("UPSTREAM_FILTER_STATE", "there are no upstream filters"),
    (
        "DYNAMIC_METADATA",
        "there is no dynamic metadata: let the filter set a request header, and log that with `%REQ(X)%`",
    ),
    ("CLUSTER_METADATA", "upstreams have no metadata"),
    ("UPSTREAM_METADATA", "upstreams have no metadata"),
    ("CEL", "there are no expressions in access lines"),
];
/// Digits after the second where `%f` says no number.
const DEFAULT_FRACTION_DIGITS: usize = 9;

impl Scalar for LogTemplate {
    fn expects() -> String {
        "text with operators such as `%REQ(:METHOD)%`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let Text(text) = Text::parse(text)?;
        // Every line is ended by the log itself; formats made for Envoy end theirs.
        let text = text.trim_end_matches('\n');
        if text.contains(char::is_control) {
            let help = "an access line is one line of printable text".to_owned();
            return Err(because("holds a control character", Some(help)));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(tail) = after.strip_prefix('%') {
                literal.push('%');
                rest = tail;
                continue;
            }
            let (operator, tail) = operator(after)?;
            if !literal.is_empty() {
                pieces.push(LogPiece::Text(std::mem::take(&mut literal).into()));
            }
            pieces.push(LogPiece::Operator(operator));
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(LogPiece::Text(literal.into()));
        }
        Ok(Self { pieces })
    }

    fn schema() -> Value {
        json!({"type": ["string", "number", "boolean"], "examples": ["%START_TIME% %REQ(:METHOD)% %RESPONSE_CODE%"]})
    }
}

/// An operator behind its first percent sign, and what follows its last one.
fn operator(text: &str) -> Result<(LogOperator, &str), Problem> {
    let end = text.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    if name.is_empty() {
        let help = "an operator is written `%PROTOCOL%` or `%REQ(X-NAME)%`; `%%` stands for a percent sign";
        return Err(because("has a `%` that begins no operator", Some(help.to_owned())));
    }
    let (arguments, rest) = match rest.strip_prefix('(') {
        None => (None, rest),
        Some(inside) => match inside.split_once(')') {
            Some((arguments, rest)) => (Some(arguments), rest),
            None => return Err(because(&format!("has no `)` after `%{name}(`"), None)),
        },
    };
    let (length, rest) = match rest.strip_prefix(':') {
        None => (None, rest),
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (length, rest) = rest.split_at(digits);
            let parsed = length.parse::<usize>().ok().filter(|length| *length > 0);
            let reason = format!("has no length after `%{name}(...):`");
            (Some(parsed.ok_or_else(|| because(&reason, Some("write a number of bytes".to_owned())))?), rest)
        }
    };
    let Some(rest) = rest.strip_prefix('%') else {
        let help = "`%%` stands for a percent sign".to_owned();
        return Err(because(&format!("has no `%` after `%{name}`"), Some(help)));
    };
    Ok((known(name, arguments, length)?, rest))
}

fn known(name: &str, arguments: Option<&str>, length: Option<usize>) -> Result<LogOperator, Problem> {
    let header = |make: fn(LoggedHeader) -> LogOperator| {
        let arguments = arguments.filter(|names| !names.is_empty());
        let help = format!("it is written `%{name}(X-NAME)%`");
        let names =
            arguments.ok_or_else(|| because(&format!("names no header in `%{name}%`"), Some(help)))?;
        logged_header(name, names, length).map(make)
    };
    match name {
        "REQ" => return header(LogOperator::RequestHeader),
        "RESP" => return header(LogOperator::ResponseHeader),
        "TRAILER" => return header(LogOperator::ResponseTrailer),
        "FILTER_STATE" => return logged_state(arguments, length).map(LogOperator::FilterState),
        _ => {}
    }
    if length.is_some() {
        let help = "only headers and properties can be cut off: `%REQ(X-NAME):100%`".to_owned();
        return Err(because(&format!("has a length after `%{name}`"), Some(help)));
    }
    if name == "START_TIME" {
        let format = arguments.filter(|format| !format.is_empty());
        return Ok(LogOperator::StartTime(format.map(time_pieces).transpose()?));
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(because(
            &format!("has the operator `%{name}%`, which there is not"),
            Some((*why).to_owned()),
        ));
    }
    match (LogFact::ALL.iter().find(|(known, _)| *known == name), arguments) {
        (Some((_, fact)), None) => Ok(LogOperator::Fact(*fact)),
        (Some(_), Some(_)) => {
            Err(because(&format!("has arguments in `%{name}(`"), Some(format!("it is written `%{name}%`"))))
        }
        (None, _) => {
            let names = LogFact::ALL.iter().map(|(name, _)| *name).chain(WITH_ARGUMENTS);
            let help = suggestion(name, names, "operators");
            Err(because(&format!("has the operator `%{name}%`, which there is not"), help))
        }
    }
}

/// `NAME`, or `NAME:PLAIN` as formats made for Envoy have it; its other forms are those of objects that do not exist here.
fn logged_state(arguments: Option<&str>, max_bytes: Option<usize>) -> Result<LoggedState, Problem> {
    let help = "for property `tenant` it is written `%FILTER_STATE(wasm.tenant)%`".to_owned();
    let (name, form) = match arguments.unwrap_or_default().split_once(':') {
        Some((name, form)) => (name, Some(form)),
        None => (arguments.unwrap_or_default(), None),
    };
    if form.is_some_and(|form| form != "PLAIN") {
        let help = "values are written as the filter set them: leave the form out, or write `PLAIN`";
        return Err(because("has a form in `%FILTER_STATE(` that there is not", Some(help.to_owned())));
    }
    match StateName::parse(name) {
        Ok(StateName(name)) => Ok(LoggedState { name: name.into(), max_bytes }),
        Err(_) => Err(because("names no property in `%FILTER_STATE%`", Some(help))),
    }
}

fn logged_header(operator: &str, names: &str, max_bytes: Option<usize>) -> Result<LoggedHeader, Problem> {
    let checked = |name: &str| -> Result<Arc<str>, Problem> {
        let name = name.to_ascii_lowercase();
        if name.starts_with(':') {
            let known = if operator == "REQ" { &PSEUDO_HEADERS[..] } else { &[":status"] };
            let help = suggestion(&name, known.iter().copied(), "there are");
            let is_known = operator != "TRAILER" && known.contains(&name.as_str());
            let reason = format!("names {} in `%{operator}%`, which there is not", quoted(&name));
            return if is_known { Ok(name.into()) } else { Err(because(&reason, help)) };
        }
        match crate::http_text::HeaderName::parse(&name) {
            Ok(name) => Ok(name.0.into()),
            Err(_) => Err(because(&format!("names {}, which is no header", quoted(&name)), None)),
        }
    };
    let (name, alternative) = match names.split_once('?') {
        Some((name, alternative)) => (name, Some(alternative)),
        None => (names, None),
    };
    Ok(LoggedHeader { name: checked(name)?, alternative: alternative.map(checked).transpose()?, max_bytes })
}

/// A format of `strftime`, with Envoy's `%3f` for parts of a second.
fn time_pieces(format: &str) -> Result<Vec<TimePiece>, Problem> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            literal.push(character);
            continue;
        }
        let piece = match rest.next() {
            Some('%') => {
                literal.push('%');
                continue;
            }
            Some('f') => TimePiece::Fraction(DEFAULT_FRACTION_DIGITS),
            Some(digit @ '1'..='9') if rest.as_str().starts_with('f') => {
                rest.next();
                TimePiece::Fraction(digit.to_digit(10).unwrap_or(0) as usize)
            }
            Some(letter) if TIME_LETTERS.contains(letter) => TimePiece::Letter(letter),
            other => {
                let found = other.map_or(String::new(), String::from);
                let letters: Vec<_> = TIME_LETTERS.chars().map(|letter| format!("%{letter}")).collect();
                let help = format!("known are {} and `%3f`", letters.join(" "));
                let reason =
                    format!("has {} in the time format, which there is not", quoted(&format!("%{found}")));
                return Err(because(&reason, Some(help)));
            }
        };
        if !literal.is_empty() {
            pieces.push(TimePiece::Text(std::mem::take(&mut literal).into()));
        }
        pieces.push(piece);
    }
    if !literal.is_empty() {
        pieces.push(TimePiece::Text(literal.into()));
    }
    Ok(pieces)
}
