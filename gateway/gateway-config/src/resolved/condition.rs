//! What routes ask of a request.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::Place;

/// Conditions that must all hold.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct RouteMatch {
    /// Condition on the path.
    pub path: PathMatch,
    /// Exactly this method, upper case.
    pub method: Option<Arc<str>>,
    /// Header names in lower case; several lines of one header count as one value, joined with `, `.
    pub headers: Vec<(Arc<str>, ValueMatch)>,
    /// Names of query parameters; names and values are compared decoded, and the first of equal names counts.
    pub query: Vec<(Arc<str>, ValueMatch)>,
    /// Names of cookies; the first of equal names counts.
    pub cookies: Vec<(Arc<str>, ValueMatch)>,
    /// Names of properties that filters set, as in `%FILTER_STATE(NAME)%`.
    pub filter_state: Vec<(Arc<str>, ValueMatch)>,
    /// The client's address is in one of these; empty is any.
    pub clients: Vec<IpNet>,
    /// None of these may hold. They have no `not` of their own.
    pub not: Vec<Self>,
    /// Where it was written; the route's place when it has no `match`.
    pub place: Place,
}

/// Condition on the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// Whole segments: `/a` matches `/a` and `/a/b`, not `/ab`. Without a trailing slash, except `/` itself.
    Prefix(Arc<str>),
    /// The whole path matches.
    Regex(Pattern),
}

/// Condition on a named value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueMatch {
    /// It is there, with exactly this value.
    Exact(Arc<str>),
    /// It is there, and the whole value matches.
    Regex(Pattern),
    /// It is there, or (`false`) it is not.
    Present(bool),
}

/// A regular expression that must match the whole of a value, in time linear in its length.
#[derive(Clone)]
pub struct Pattern {
    source: Arc<str>,
    regex: regex::bytes::Regex,
}

impl Pattern {
    /// `regex` is `source`, anchored on both sides.
    pub(crate) const fn new(source: Arc<str>, regex: regex::bytes::Regex) -> Self {
        Self { source, regex }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// How many groups it has besides the whole.
    pub(crate) fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The number of a group, by number or name.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        match name.parse::<usize>() {
            Ok(number) => (number < self.regex.captures_len()).then_some(number),
            Err(_) => self.regex.capture_names().position(|known| known == Some(name)),
        }
    }

    pub(crate) fn captures<'v>(&self, value: &'v [u8]) -> Option<regex::bytes::Captures<'v>> {
        self.regex.captures(value)
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "/{}/", self.source)
    }
}

impl RouteMatch {
    /// Equal for conditions that ask the same, whatever the order and the place they were written in.
    pub(crate) fn canonical(&self) -> String {
        let sorted = |items: &[(Arc<str>, ValueMatch)]| {
            let mut items: Vec<_> = items.iter().map(|item| format!("{item:?}")).collect();
            items.sort();
            items
        };
        let mut clients = self.clients.clone();
        clients.sort();
        let mut not: Vec<_> = self.not.iter().map(Self::canonical).collect();
        not.sort();
        let set = sorted(&self.filter_state);
        let values = (sorted(&self.headers), sorted(&self.query), sorted(&self.cookies), set);
        format!("{:?}", (&self.path, &self.method, values, clients, not))
    }
}
