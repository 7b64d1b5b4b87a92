//! Which route a request takes. Pure: a table made from the configuration, and a request head; no I/O, no clock.
//!
//! Precedence is the Gateway API's: the most specific host first (exact, then the longest wildcard, then any); within a
//! host exact path before the longest prefix, then a method match, then the most header matches, then the order written.

mod table;

pub(crate) use table::RouteTable;

#[cfg(test)]
#[path = "route/table_tests.rs"]
mod tests;

/// What routing reads of a request.
pub(crate) struct RouteInput<'a> {
    /// Lower case, without port.
    pub(crate) host: &'a str,
    /// Without query.
    pub(crate) path: &'a str,
    /// As received.
    pub(crate) method: &'a str,
    /// All request headers.
    pub(crate) headers: &'a http::HeaderMap,
}

/// The outcome: an index into the configuration's routes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RouteIndex(pub(crate) usize);
