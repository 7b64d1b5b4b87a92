//! Conditions besides host and path, ready to be compared, and why they do not hold.

use std::borrow::Cow;
use std::sync::Arc;

use gateway_config::{IpNet, PathMatch, RouteMatch, ValueMatch};
use http::header::COOKIE;
use http::{HeaderMap, HeaderName};

use super::RouteInput;
use super::paths::path_matches;

/// Everything but the path; names are parsed once, when a snapshot is made.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    method: Option<Arc<str>>,
    /// The route answers preflights.
    cors: bool,
    headers: Vec<(HeaderName, ValueMatch)>,
    query: Vec<(Arc<str>, ValueMatch)>,
    cookies: Vec<(Arc<str>, ValueMatch)>,
    filter_state: Vec<(Arc<str>, ValueMatch)>,
    clients: Vec<IpNet>,
    not: Vec<(PathMatch, Self)>,
}

/// The first condition that a request does not meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mismatch<'a> {
    Method(&'a str),
    Header(&'a HeaderName, &'a ValueMatch),
    Query(&'a str, &'a ValueMatch),
    Cookie(&'a str, &'a ValueMatch),
    FilterState(&'a str, &'a ValueMatch),
    Client(&'a [IpNet]),
    /// This `not` of the match holds, counted from 0.
    Not(usize),
}

/// How specific conditions are: the greater wins.
pub(crate) type Specificity = (bool, usize, usize, usize, usize, bool, usize);

impl Conditions {
    pub(crate) fn new(written: &RouteMatch, cors: bool) -> Self {
        // Names are legal by construction of the configuration.
        let header = |(name, value): &(Arc<str>, ValueMatch)| Some((name.parse().ok()?, value.clone()));
        Self {
            method: written.method.clone(),
            cors,
            headers: written.headers.iter().filter_map(header).collect(),
            query: written.query.clone(),
            cookies: written.cookies.clone(),
            filter_state: written.filter_state.clone(),
            clients: written.clients.clone(),
            not: written.not.iter().map(|not| (not.path.clone(), Self::new(not, false))).collect(),
        }
    }

    pub(crate) const fn specificity(&self) -> Specificity {
        (
            self.method.is_some(),
            self.headers.len(),
            self.query.len(),
            self.cookies.len(),
            self.filter_state.len(),
            !self.clients.is_empty(),
            self.not.len(),
        )
    }

    /// Whether every request meets them.
    pub(crate) fn is_empty(&self) -> bool {
        self.specificity() == Specificity::default()
    }

    /// Names of all headers that are looked at, below `not` too.
    pub(crate) fn header_names(&self) -> Vec<HeaderName> {
        let mut names: Vec<_> = self.headers.iter().map(|(name, _)| name.clone()).collect();
        if !self.cookies.is_empty() {
            names.push(COOKIE);
        }
        names.extend(self.not.iter().flat_map(|(_, conditions)| conditions.header_names()));
        names
    }

    /// Names of all properties that are looked at, below `not` too.
    pub(crate) fn state_names(&self) -> Vec<Arc<str>> {
        let below = self.not.iter().flat_map(|(_, conditions)| conditions.state_names());
        self.filter_state.iter().map(|(name, _)| name.clone()).chain(below).collect()
    }

    /// What does not hold; `None` when everything does.
    pub(crate) fn mismatch(&self, input: &RouteInput<'_>) -> Option<Mismatch<'_>> {
        if let Some(method) = self.method.as_deref().filter(|method| *method != input.method)
            && (!self.cors || input.preflight_method != Some(method))
        {
            return Some(Mismatch::Method(method));
        }
        for (name, wanted) in &self.headers {
            if !holds(wanted, header_value(input.headers, name)) {
                return Some(Mismatch::Header(name, wanted));
            }
        }
        for (name, wanted) in &self.query {
            if !holds(wanted, query_value(input.query, name)) {
                return Some(Mismatch::Query(name, wanted));
            }
        }
        for (name, wanted) in &self.cookies {
            if !holds(wanted, cookie_value(input.headers, name).map(Cow::Borrowed)) {
                return Some(Mismatch::Cookie(name, wanted));
            }
        }
        for (name, wanted) in &self.filter_state {
            let set = input.filter_state.iter().find(|(known, _)| known == name);
            if !holds(wanted, set.map(|(_, value)| Cow::Borrowed(&value[..]))) {
                return Some(Mismatch::FilterState(name, wanted));
            }
        }
        if !self.clients.is_empty() && !self.clients.iter().any(|network| network.contains(&input.client)) {
            return Some(Mismatch::Client(&self.clients));
        }
        let held = |(path, conditions): &(PathMatch, Self)| {
            path_matches(path, input.path) && conditions.mismatch(input).is_none()
        };
        self.not.iter().position(held).map(Mismatch::Not)
    }
}

fn holds(wanted: &ValueMatch, value: Option<Cow<'_, [u8]>>) -> bool {
    match (wanted, value) {
        (ValueMatch::Present(wanted), value) => value.is_some() == *wanted,
        (ValueMatch::Exact(wanted), Some(value)) => *value == *wanted.as_bytes(),
        (ValueMatch::Regex(wanted), Some(value)) => wanted.is_match(&value),
        (ValueMatch::Exact(_) | ValueMatch::Regex(_), None) => false,
    }
}

/// Several lines of one header count as one comma-separated value (RFC 9110, section 5.3).
fn header_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    let Some(second) = lines.next() else { return Some(Cow::Borrowed(first.as_bytes())) };
    let mut joined = [first.as_bytes(), second.as_bytes()].join(&b", "[..]);
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
    }
    Some(Cow::Owned(joined))
}

/// The first parameter of that name, decoded as HTML forms encode (percent signs, `+` for a space).
fn query_value<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, [u8]>> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(key, _)| *decoded(key) == *name.as_bytes())?;
    Some(decoded(value))
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = || Some((hex(*tail.first()?)? << 4) | hex(*tail.get(1)?)?);
        match (first, escape()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            // A percent sign that begins no escape stands for itself.
            (byte, _) => bytes.push(*byte),
        }
        rest = tail;
    }
    Cow::Owned(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The first cookie of that name (RFC 6265, section 5.4).
fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get_all(COOKIE).iter().find_map(|line| {
        line.as_bytes().split(|byte| *byte == b';').find_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            (&pair[..equals] == name.as_bytes()).then_some(&pair[equals + 1..])
        })
    })
}
