//! Upstreams in order of name, so that routes can point at them by index.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::client::proxy_version;
use super::resilience::{health_check, limits, outlier, panic_threshold, pool, retry_budget, tcp_keepalive};
use super::{all, duration, mark_of, place_of, tls};
use crate::address::Address;
use crate::diagnostic::{Mark, Report, quoted};
use crate::read::{Field, Marked, Named, OneOrMany, ShortOr};
use crate::resolved::{Balancer, Endpoint, Upstream, UpstreamProtocol};
use crate::schema;
use crate::values::{Name, OneOf, Whole};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_IDLE: Duration = Duration::from_secs(60);

/// What routes need of the upstreams, and the upstreams.
pub(super) struct Upstreams {
    /// Every name written, also of upstreams that are wrong: a route to one of those is no second mistake.
    pub(super) names: BTreeMap<String, usize>,
    /// `None` if one of them is wrong.
    pub(super) resolved: Option<Vec<Upstream>>,
}

pub(super) fn upstreams(
    written: Field<Named<Name, ShortOr<Address, schema::Upstream>>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Upstreams {
    let Named(mut entries) = written.or(Named(Vec::new()));
    entries.sort_by(|(left, _), (right, _)| left.value.cmp(&right.value));
    let names = entries.iter().enumerate().map(|(index, (name, _))| (name.value.0.clone(), index)).collect();
    let resolved: Vec<_> =
        entries.into_iter().map(|(name, upstream)| one(name, upstream, base_dir, report)).collect();
    Upstreams { names, resolved: resolved.into_iter().collect() }
}

fn one(
    Marked { mark, value: Name(name) }: Marked<Name>,
    written: Field<ShortOr<Address, schema::Upstream>>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Upstream> {
    let written = match written.given()?.value {
        ShortOr::Short(address) => short(mark, address),
        ShortOr::Long(written) => written,
    };
    let protocol = protocol(written.protocol, matches!(written.tls, Field::Absent), report);
    refuse_check_over_http2(mark_of(&written.health_check), protocol, report);
    let proxy_protocol = proxy_version(written.proxy_protocol, protocol, report);
    let tls = tls::of_upstream(written.tls, base_dir, report);
    Some(Upstream {
        endpoints: written.endpoints.given().and_then(|list| endpoints(list, mark, &name, report))?,
        name: name.into(),
        protocol,
        proxy_protocol,
        connect_timeout_place: place_of(&written.connect_timeout, report),
        connect_timeout: duration(written.connect_timeout, DEFAULT_CONNECT_TIMEOUT),
        idle_place: place_of(&written.idle, report),
        idle: duration(written.idle, DEFAULT_IDLE),
        tls,
        balancer: written.balancer.or(OneOf(Balancer::RoundRobin)).0,
        outlier: outlier(written.outlier, report),
        health_check: health_check(written.health_check, report),
        panic_threshold: panic_threshold(written.panic_threshold),
        limits: limits(written.limits),
        pool: pool(written.pool),
        tcp_keepalive: tcp_keepalive(written.tcp_keepalive),
        retry_budget: retry_budget(written.retry_budget),
        place: report.place(mark),
    })
}

fn protocol(
    written: Field<OneOf<UpstreamProtocol>>,
    is_plain: bool,
    report: &mut Report<'_>,
) -> UpstreamProtocol {
    let mark = mark_of(&written);
    let protocol = written.or(OneOf(UpstreamProtocol::Http1)).0;
    if let (Some(mark), UpstreamProtocol::Auto, true) = (mark, protocol, is_plain) {
        let message = "`protocol: auto` without `tls`: nothing would say what the endpoints speak".to_owned();
        let help = "write `http2` if they speak HTTP/2 without TLS (h2c), else `http1`".to_owned();
        report.error(mark, message, Some(help));
    }
    protocol
}

/// Checks speak HTTP/1.1: endpoints that do not would never pass one.
fn refuse_check_over_http2(check: Option<Mark>, protocol: UpstreamProtocol, report: &mut Report<'_>) {
    let spoken = match protocol {
        UpstreamProtocol::Http1 => return,
        UpstreamProtocol::Http2 => "http2",
        UpstreamProtocol::Auto => "auto",
    };
    let Some(mark) = check else { return };
    let message = format!("`healthCheck` speaks HTTP/1.1, and this upstream has `protocol: {spoken}`");
    let help = "leave `healthCheck` out and use `outlier`, or write `protocol: http1`".to_owned();
    report.error(mark, message, Some(help));
}

/// An upstream that is just an address.
fn short(mark: Mark, address: Address) -> schema::Upstream {
    let endpoint = Field::Given(Marked { mark, value: ShortOr::Short(address) });
    schema::Upstream {
        endpoints: Field::Given(Marked { mark, value: OneOrMany(vec![endpoint]) }),
        protocol: Field::Absent,
        proxy_protocol: Field::Absent,
        connect_timeout: Field::Absent,
        idle: Field::Absent,
        tls: Field::Absent,
        balancer: Field::Absent,
        outlier: Field::Absent,
        health_check: Field::Absent,
        panic_threshold: Field::Absent,
        limits: Field::Absent,
        pool: Field::Absent,
        tcp_keepalive: Field::Absent,
        retry_budget: Field::Absent,
    }
}

fn endpoints(
    Marked { value: OneOrMany(items), .. }: Marked<OneOrMany<ShortOr<Address, schema::Endpoint>>>,
    name_mark: Mark,
    name: &str,
    report: &mut Report<'_>,
) -> Option<Vec<Endpoint>> {
    if items.is_empty() {
        let help = "write at least one address, for example `endpoints: [10.0.0.1:9080]`".to_owned();
        report.error(name_mark, format!("upstream {} has no endpoints", quoted(name)), Some(help));
        return None;
    }
    let mut endpoints = Vec::new();
    for item in all(items)? {
        endpoints.push(match item {
            ShortOr::Short(Address(address)) => Endpoint { address, weight: 1 },
            ShortOr::Long(written) => Endpoint {
                address: written.address.given()?.value.0,
                weight: written.weight.or(Whole(1)).0 as u32,
            },
        });
    }
    Some(endpoints)
}
