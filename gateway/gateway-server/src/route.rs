//! Which route a request takes. Pure: a table made from the configuration, and a request head; no I/O, no clock.
//!
//! Precedence is the Gateway API's: the most specific host first (exact, then the longest wildcard, then any); within a
//! host an exact path, then a regular expression (the longer first), then the longest prefix; then a method, the most
//! headers, the most query parameters; then, where the Gateway API says nothing, the most cookies, a client condition,
//! the most `not`; and at last the order written. A regular expression goes before prefixes, as in Envoy Gateway:
//! otherwise `prefix: /` would hide it.

mod condition;
pub(crate) mod cors;
mod edits;
pub(crate) mod examine;
mod index;
mod paths;
mod plan;
pub(crate) mod rewrite;
mod table;

pub(crate) use plan::RoutePlan;
pub(crate) use table::RouteTable;

use std::net::IpAddr;

#[cfg(test)]
#[path = "route/table_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "route/scale_tests.rs"]
mod scale_tests;

#[cfg(test)]
#[path = "route/agreement_tests.rs"]
mod agreement_tests;

/// What routing reads of a request.
pub(crate) struct RouteInput<'a> {
    /// Lower case, without port.
    pub(crate) host: &'a str,
    /// Without query.
    pub(crate) path: &'a str,
    /// Without the question mark.
    pub(crate) query: Option<&'a str>,
    /// As received.
    pub(crate) method: &'a str,
    /// What a CORS preflight asks about: a route that answers preflights takes those of its methods.
    pub(crate) preflight_method: Option<&'a str>,
    /// All request headers.
    pub(crate) headers: &'a http::HeaderMap,
    /// Who asks; an IPv4 address is never in its IPv6 form.
    pub(crate) client: IpAddr,
}

/// A route, as an index into the configuration's routes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RouteIndex(pub(crate) usize);

/// The outcome of routing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decision {
    pub(crate) route: RouteIndex,
    /// Which of the route's matches it was.
    pub(crate) condition: usize,
}
