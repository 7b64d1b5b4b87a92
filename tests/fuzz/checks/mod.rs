//! What the fuzz targets check: a module for each, with a `check` that panics on a finding.
//!
//! Included by the targets, and by a test of `gateway-wire` that runs every check on its seeds (`seeds/NAME/`) and on
//! bounded random changes of them.

#![allow(dead_code, unreachable_pub, reason = "included by several programs, each of which uses some of it")]

pub mod authority;
pub mod downgrade;
pub mod forwarded;
pub mod gate;
pub mod http2_meter;
pub mod path;
pub mod proxy_protocol;
pub mod reading;
pub mod round_trip;

/// One check.
pub type Check = fn(&[u8]);

/// All of them, by the name of their target.
pub const CHECKS: &[(&str, Check)] = &[
    ("authority", authority::check),
    ("downgrade", downgrade::check),
    ("forwarded", forwarded::check),
    ("gate", gate::check),
    ("http2_meter", http2_meter::check),
    ("path", path::check),
    ("proxy_protocol", proxy_protocol::check),
    ("round_trip", round_trip::check),
];
